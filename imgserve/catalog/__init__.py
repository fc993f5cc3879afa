"""Records about images, in SQLite or PostgreSQL; all SQL of the project. Nothing here reads or serves a picture."""

from imgserve.catalog.database import Database
from imgserve.catalog.images import Images
from imgserve.catalog.query import Duplicates, ImageQuery, Page, Similar, Sort, Totals
from imgserve.catalog.search import ImageSearch
from imgserve.catalog.sets import ImageSets, Selection
from imgserve.catalog.writing import Outcome

__all__ = [
    "Database",
    "Duplicates",
    "ImageQuery",
    "ImageSearch",
    "ImageSets",
    "Images",
    "Outcome",
    "Page",
    "Selection",
    "Similar",
    "Sort",
    "Totals",
]
