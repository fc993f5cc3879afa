"""Create a catalog, or upgrade that of an earlier release."""

import logging
import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from imgserve.catalog.tables import metadata
from imgserve.errors import CatalogUnavailable

_log = logging.getLogger(__name__)


VERSIONS = [Path(__file__).parent / "versions"]
"""The folders of migrations."""
_LAST_WITH_OLDER = "9618043"
"""The last commit that upgrades catalogs of before the first release."""


def upgrade(connection: Connection) -> None:
    """Create the newest tables, or upgrade those of an earlier release, in the transaction of the connection.

    Raises CatalogUnavailable for a catalog of a newer release, or of before the first one; nothing is changed.
    """
    script, context = ScriptDirectory.from_config(_config(connection)), MigrationContext.configure(connection)
    found, newest = context.get_current_revision(), script.get_current_head()
    if found is None:
        metadata.create_all(connection, checkfirst=False)
        context.stamp(script, "head")
        _log.info("the catalog was created")
        return
    if found not in {known.revision for known in script.walk_revisions()}:
        _log.error("the catalog is at revision %s, this release knows up to %s", found, newest)
        if found > str(newest):
            raise CatalogUnavailable("The catalog was written by a newer release of imgserve.")
        raise CatalogUnavailable(
            "The catalog is of a version before the first release. Open it once with the commit "
            f"{_LAST_WITH_OLDER}, which upgrades it, or move it away to start with a new one."
        )
    command.upgrade(_config(connection), "head")
    _log.info("the catalog was upgraded from revision %s", found)


def _config(connection: Connection) -> Config:
    config = Config()
    # The configuration of alembic expands percent signs.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("version_locations", os.pathsep.join(map(str, VERSIONS)).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
