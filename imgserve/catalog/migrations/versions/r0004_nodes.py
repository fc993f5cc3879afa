"""Which node published a notice, and whether mezzanines are outdated too."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns; notices of earlier releases reach the memory of other processes only, as they did."""
    op.add_column("notices", sa.Column("node", _TEXT, nullable=False, server_default=""))
    op.add_column("notices", sa.Column("mezzanines", sa.Boolean, nullable=False, server_default=sa.false()))
