"""What callers of the API have made: conversions, transforms in steps, many pictures at once."""

from imgserve.services.making.archive import archive_name
from imgserve.services.making.bulk import BulkMaking
from imgserve.services.making.making import Made, Making
from imgserve.services.making.steps import MOST_STEPS, Steps

__all__ = ["MOST_STEPS", "BulkMaking", "Made", "Making", "Steps", "archive_name"]
