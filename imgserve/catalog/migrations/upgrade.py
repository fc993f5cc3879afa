"""Upgrade the catalog of an earlier release."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from imgserve.errors import CatalogUnavailable

_log = logging.getLogger(__name__)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Upgrade the tables to a revision, in the transaction of the connection.

    Raises CatalogUnavailable if a newer release wrote this catalog; nothing is changed.
    """
    config = _config(connection)
    script = ScriptDirectory.from_config(config)
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in {known.revision for known in script.walk_revisions()}:
        _log.error("the catalog is at revision %s, this release knows up to %s", found, script.get_current_head())
        raise CatalogUnavailable("The catalog was written by a newer release of imgserve.")
    command.upgrade(config, revision)
    _log.info("the catalog was %s", "created" if found is None else f"upgraded from revision {found}")


def _config(connection: Connection) -> Config:
    config = Config()
    # The configuration of alembic expands percent signs.
    folder = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
