"""Indexes of perceptual hashes, for the search of similar images."""

from alembic import op

from imgserve.catalog.hashes import hash_indexes

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Index each quarter of the hashes."""
    for statement in hash_indexes():
        op.execute(statement)
