"""API keys, accounts, secrets, the audit log, and counts of usage."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, *, key: bool = False, unique: bool = False) -> sa.Column[str]:
    return sa.Column(name, _TEXT, primary_key=key, nullable=False, unique=unique or None)


def _time(name: str, *, optional: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=optional)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "api_keys",
        _text("id", key=True),
        _text("name"),
        _text("digest", unique=True),
        *(_text(name) for name in ("scopes", "prefixes", "presets", "site")),
        _time("created"),
        _time("changed"),
        *(_time(name, optional=True) for name in ("expires", "revoked", "used")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "accounts",
        _text("name", key=True),
        _text("role"),
        _text("password"),
        _time("created"),
        _time("changed"),
        _time("used", optional=True),
        sqlite_with_rowid=False,
    )
    op.create_table("secrets", _text("name", key=True), _text("value"), _time("created"), sqlite_with_rowid=False)
    op.create_table(
        "audit",
        sa.Column("number", _NUMBER, sa.Identity(), primary_key=True),
        _time("at"),
        _text("actor"),
        _text("address"),
        _text("action"),
        sa.Column("target", sa.LargeBinary, nullable=False),
        _text("before"),
        _text("after"),
        _text("request_id"),
    )
    op.create_index("audit_by_at", "audit", ["at"])
    op.create_index("audit_by_target", "audit", ["target", "number"])
    op.create_table(
        "usage",
        _text("what", key=True),
        _text("by", key=True),
        sa.Column("subject", sa.LargeBinary, primary_key=True),
        sa.Column("hour", sa.BigInteger, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("usage_by_hour", "usage", ["hour"])
