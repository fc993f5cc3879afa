"""Records about images, in SQLite or PostgreSQL; all SQL of the project. Nothing here reads or serves a picture."""

from imgserve.catalog.catalog import Catalog
from imgserve.catalog.database import Database
from imgserve.catalog.idempotency import Answered, IdempotencyKeys
from imgserve.catalog.identity import recordable
from imgserve.catalog.images import Images
from imgserve.catalog.merging import Merge, Merged
from imgserve.catalog.notices import Notice, Notices
from imgserve.catalog.problems import ProblemPage, Problems
from imgserve.catalog.query import Duplicates, ImageQuery, Page, Similar, Sort, Totals
from imgserve.catalog.search import ImageSearch
from imgserve.catalog.sets import ImageSets, Selection
from imgserve.catalog.writing import Outcome

__all__ = [
    "Answered",
    "Catalog",
    "Database",
    "Duplicates",
    "IdempotencyKeys",
    "ImageQuery",
    "ImageSearch",
    "ImageSets",
    "Images",
    "Merge",
    "Merged",
    "Notice",
    "Notices",
    "Outcome",
    "Page",
    "ProblemPage",
    "Problems",
    "Selection",
    "Similar",
    "Sort",
    "Totals",
    "recordable",
]
