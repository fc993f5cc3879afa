"""Colors and BlurHash of images."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the columns, empty until an image is inspected again."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("images", sa.Column("palette", text, nullable=False, server_default="[]"))
    op.add_column("images", sa.Column("blurhash", text, nullable=False, server_default=""))
