"""Images and their tags."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables and what sorts and finds their rows."""
    _make_images()
    op.create_table(
        "tags",
        sa.Column("image", _NUMBER, sa.ForeignKey("images.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("tag", _TEXT, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("tags_by_tag", "tags", ["tag", "image"])
    for name in ("created", "changed", "size", "pixels"):
        op.create_index(f"images_by_{name}", "images", [name, "id"])
    for name in ("sha256", "perceptual_hash"):
        op.create_index(f"images_by_{name}", "images", [name])


def _make_images() -> None:
    numbers = ("width", "height", "pixels", "frames", "size", "created", "changed")
    texts = ("version", "format", "color_space", "dominant_color", "title", "alt", "description", "metadata")
    op.create_table(
        "images",
        sa.Column("number", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("id", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("thumbhash", sa.LargeBinary, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in numbers),
        *(sa.Column(name, _TEXT, nullable=False) for name in (*texts, "origin", "who")),
        sa.Column("alpha", sa.Boolean, nullable=False),
        sa.Column("perceptual_hash", sa.BigInteger),
        sa.Column("focal_x", sa.Double),
        sa.Column("focal_y", sa.Double),
    )
