"""How catalogs of earlier releases become current. Run by `catalog.migrate`; imported by alembic alone."""
