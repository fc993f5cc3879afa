"""Builds the endpoints of the API."""

from pathlib import Path

from imgserve import __version__
from imgserve.app.management import Management
from imgserve.app.pictures import Parts
from imgserve.config import Config
from imgserve.services.access import Access, admin_digest, announce_admin_key
from imgserve.services.receiving import Receiving
from imgserve.web.api.frame import Api
from imgserve.web.api.many import Bulk, Purges
from imgserve.web.api.records import Records
from imgserve.web.api.upkeep import Findings, Trash
from imgserve.web.api.uploads import UploadLimits, Uploads


def build_api(config: Config, parts: Parts, management: Management, data: Path) -> Api:
    """Build every endpoint; the admin key is made here at the first start, and shown."""
    catalog, ingest, prefix = management.catalog, management.ingest, config.urls.prefix
    digest = admin_digest(config.access.admin_key.get_secret_value(), data, announce=announce_admin_key)
    endpoints = (
        Uploads(
            ingest,
            Receiving(parts.originals, management.downloader, max_bytes=config.limits.original_bytes),
            UploadLimits(config.uploads.files, config.uploads.request_bytes),
            prefix=prefix,
        ),
        Records(catalog.images, catalog.search, ingest, prefix=prefix),
        Bulk(ingest),
        Purges(ingest, stats=parts.cache.stats, presets=list(config.presets)),
        Trash(ingest, prefix=prefix),
        Findings(catalog.search, catalog.problems, version=__version__),
    )
    return Api(endpoints, access=Access(digest, metrics=parts.metrics), answers=catalog.idempotency)
