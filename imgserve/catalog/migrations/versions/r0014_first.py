"""The tables of the first release. A new catalog is created with the newest tables, and runs no migration."""

revision = "0014"
down_revision = None


def upgrade() -> None:
    """Change nothing."""
