"""What ingest keeps beside records: problems, notices of changes, answers to repeated requests."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables and what finds their rows."""
    op.create_table(
        "problems",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("version", "code", "detail")),
        sa.Column("since", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "notices",
        sa.Column("number", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("id", sa.LargeBinary, nullable=False),
        sa.Column("published", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("notices_by_published", "notices", ["published"])
    op.create_table(
        "answers",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("fingerprint", _TEXT, nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("status", sa.BigInteger),
        sa.Column("headers", _TEXT, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("answers_by_started", "answers", ["started"])
