"""The entry point: all parts of the catalog over one database."""

from imgserve.catalog.access import Accounts, ApiKeys, Presets, Secrets
from imgserve.catalog.audit import AuditLog
from imgserve.catalog.database import Database
from imgserve.catalog.idempotency import IdempotencyKeys
from imgserve.catalog.images import Images, Redirects
from imgserve.catalog.import_queue import ImportQueue
from imgserve.catalog.imports import Imports
from imgserve.catalog.renders import RenderProblems
from imgserve.catalog.reports import Notices, Problems
from imgserve.catalog.search import ImageSearch
from imgserve.catalog.usage import Usage


class Catalog:
    """All parts of the catalog over one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.images = Images(database)
        self.search = ImageSearch(database)
        self.problems = Problems(database)
        self.renders = RenderProblems(database)
        self.notices = Notices(database)
        self.redirects = Redirects(database)
        self.idempotency = IdempotencyKeys(database)
        self.keys = ApiKeys(database)
        self.accounts = Accounts(database)
        self.secrets = Secrets(database)
        self.audit = AuditLog(database)
        self.presets = Presets(database)
        self.usage = Usage(database)
        self.imports = Imports(database)
        self.import_queue = ImportQueue(database)
