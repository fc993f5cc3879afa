"""Where images were moved to."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table and what finds its rows."""
    op.create_table(
        "redirects",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("target", sa.LargeBinary, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("redirects_by_target", "redirects", ["target"])
    op.create_index("redirects_by_until", "redirects", ["until"])
