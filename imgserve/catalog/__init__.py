"""Records about images, in SQLite or PostgreSQL; all SQL of the project."""

from imgserve.catalog.access import Account, Accounts, ApiKey, ApiKeys, Presets, Secrets, StoredPreset
from imgserve.catalog.audit import AuditLog
from imgserve.catalog.batched import BACKGROUND, Batched
from imgserve.catalog.catalog import Catalog
from imgserve.catalog.database import Database
from imgserve.catalog.idempotency import Answered, IdempotencyKeys
from imgserve.catalog.images import Images, Merge, Merged, Redirects, Selection
from imgserve.catalog.import_queue import ImportQueue
from imgserve.catalog.imports import ImportRow, Imports, ProductCounts, StoredDelivery, StoredItem, StoredJob, item_key
from imgserve.catalog.query import Filter, ImageQuery, Page, Similar, Sort, Totals
from imgserve.catalog.renders import RenderProblems, RenderWatch
from imgserve.catalog.reports import Notice, Notices, Problems
from imgserve.catalog.search import ImageSearch
from imgserve.catalog.tables import stored_id
from imgserve.catalog.usage import Counted, Usage

__all__ = [
    "BACKGROUND", "Account", "Accounts", "Answered", "ApiKey", "ApiKeys", "AuditLog", "Batched", "Catalog",
    "Counted", "Database", "Filter", "IdempotencyKeys", "ImageQuery", "ImageSearch", "Images", "ImportQueue",
    "ImportRow", "Imports", "Merge", "Merged", "Notice", "Notices", "Page", "Presets", "Problems", "ProductCounts",
    "Redirects", "RenderProblems", "RenderWatch", "Secrets", "Selection", "Similar", "Sort", "StoredDelivery",
    "StoredItem", "StoredJob", "StoredPreset", "Totals", "Usage", "item_key", "stored_id",
]  # fmt: skip
