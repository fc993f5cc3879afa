"""The faces that were found in images."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column; no face was found in what is recorded already."""
    op.add_column("images", sa.Column("faces", _TEXT, nullable=False, server_default="[]"))
