"""What alembic runs: on the connection that it is given, within the transaction that is open there."""

from typing import Any

from alembic import context

from imgserve.catalog.tables import WORD_INDEX, metadata


def include_object(_item: Any, name: str | None, _kind: str, _reflected: bool, _other: Any) -> bool:
    """Leave out what no metadata declares: the word index and the tables that FTS5 makes for itself."""
    return not (name or "").startswith(WORD_INDEX)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_object=include_object,
    # SQLite cannot change a column in place: alembic makes the table anew.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
