"""Builds the endpoints of the API."""

from pathlib import Path

from imgserve import __version__
from imgserve.app.management import Management
from imgserve.app.pictures import Parts, processes
from imgserve.config import Config
from imgserve.services.access import Access, admin_digest, announce_admin_key
from imgserve.services.making import BulkMaking, Making
from imgserve.services.receiving import Receiving
from imgserve.services.warming import Warmer
from imgserve.web.api.frame import Api
from imgserve.web.api.making import MakingPictures
from imgserve.web.api.many import Bulk, Purges
from imgserve.web.api.matching import Matching
from imgserve.web.api.records import Records
from imgserve.web.api.upkeep import Findings, Trash
from imgserve.web.api.uploads import UploadLimits, Uploads
from imgserve.web.api.warm import Warming


def build_api(config: Config, parts: Parts, management: Management, data: Path) -> Api:
    """Build every endpoint; the admin key is made here at the first start, and shown."""
    catalog, ingest, prefix = management.catalog, management.ingest, config.urls.prefix
    digest = admin_digest(config.access.admin_key.get_secret_value(), data, announce=announce_admin_key)
    making = Making(parts.finder, parts.meaning, parts.renditions, parts.originals, ingest)
    bulk = BulkMaking(making, catalog.search, at_once=2 * processes(config), most=config.limits.bulk_images)
    warmer = Warmer(parts.finder, parts.meaning, parts.renditions, catalog.search, at_once=processes(config))
    matching = Matching(catalog.images)
    endpoints = (
        Uploads(
            ingest,
            matching,
            Receiving(parts.originals, management.downloader, max_bytes=config.limits.original_bytes),
            UploadLimits(config.uploads.files, config.uploads.request_bytes),
            prefix=prefix,
        ),
        Records(catalog.images, catalog.search, ingest, matching, prefix=prefix),
        Bulk(ingest),
        Purges(ingest, stats=parts.cache.stats, presets=list(config.presets)),
        Trash(ingest, prefix=prefix),
        MakingPictures(making, bulk, prefix=prefix),
        Warming(warmer),
        Findings(catalog.search, catalog.problems, version=__version__),
    )
    return Api(endpoints, access=Access(digest, metrics=parts.metrics), answers=catalog.idempotency)
