"""Bulk imports: jobs, their rows, the images to fetch, slow hosts, and calls of webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False) for name in names]


def _numbers(*names: str, optional: bool = False) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=optional) for name in names]


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "imports",
        sa.Column("number", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("id", _TEXT, nullable=False, unique=True),
        *_texts("name", "state", "output"),
        sa.Column("refresh", sa.Boolean, nullable=False),
        *_texts("webhook"),
        sa.Column("each_product", sa.Boolean, nullable=False),
        *_texts("who"),
        *_numbers("rows", "products", "images", "duplicates", "invalid", "created", "changed"),
        *_texts("headers"),
    )
    op.create_index("imports_by_state", "imports", ["state"])
    op.create_table(
        "import_rows",
        sa.Column("job", _TEXT, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        *_numbers("line"),
        *_texts("product", "name", "cells", "items", "reason"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "import_items",
        sa.Column("number", _NUMBER, sa.Identity(), primary_key=True),
        *_numbers("item", "line"),
        *_texts("product", "url", "state"),
        *_numbers("attempts", "due"),
        *_numbers("status", optional=True),
        *_numbers("size"),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("image_id", sa.LargeBinary, nullable=False),
        *_texts("reason"),
        *_numbers("changed"),
        *_texts("job"),
        *_numbers("row"),
        *_texts("host"),
        sa.Column("key", sa.LargeBinary, nullable=False),
        *_texts("etag", "owner"),
        *_numbers("lease", optional=True),
    )
    op.create_index("import_items_by_job", "import_items", ["job", "item"], unique=True)
    op.create_index("import_items_by_due", "import_items", ["job", "state", "due"])
    op.create_index("import_items_by_product", "import_items", ["job", "product", "state"])
    op.create_index("import_items_by_key", "import_items", ["key"])
    op.create_index("import_items_by_sha256", "import_items", ["sha256", "product"])
    op.create_index("import_items_by_lease", "import_items", ["lease"])
    op.create_table(
        "import_hosts",
        sa.Column("job", _TEXT, primary_key=True),
        sa.Column("host", _TEXT, primary_key=True),
        *_numbers("failures", "until"),
        *_texts("reason"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "import_deliveries",
        sa.Column("id", _TEXT, primary_key=True),
        *_texts("event", "product", "url", "state"),
        *_numbers("attempts", "due"),
        *_numbers("status", optional=True),
        *_texts("reason"),
        *_numbers("changed"),
        *_texts("job", "body"),
        sqlite_with_rowid=False,
    )
    op.create_index("import_deliveries_by_due", "import_deliveries", ["state", "due"])
    op.create_index("import_deliveries_by_job", "import_deliveries", ["job"])
