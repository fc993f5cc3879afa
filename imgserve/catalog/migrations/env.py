"""The script that alembic runs on a connection, in its open transaction."""

from typing import Any

from alembic import context

from imgserve.catalog.tables import WORD_INDEX, metadata


def include_object(_item: Any, name: str | None, _kind: str, _reflected: bool, _other: Any) -> bool:
    """Leave out the word index and the tables that FTS5 creates, which no metadata declares."""
    return not (name or "").startswith(WORD_INDEX)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_object=include_object,
    # SQLite cannot change a column in place: alembic creates the table again.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
