"""Renditions that failed or were slow."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table and what finds its rows."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "renders",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("transform", text, primary_key=True),
        sa.Column("code", text, primary_key=True),
        sa.Column("detail", text, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("times", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("renders_by_last", "renders", ["last"])
