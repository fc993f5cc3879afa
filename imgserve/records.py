"""Records that the API returns besides those of images, as catalog, server and client share them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from imgserve.errors import ImgserveError
from imgserve.model import Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """An API key, without the key itself."""

    key_id: Annotated[str, Doc("Its public id.", name="id")]
    name: Annotated[str, Doc("What people call it.")]
    scopes: Annotated[tuple[str, ...], Doc("What its holder may do.")]
    prefixes: Annotated[tuple[str, ...], Doc("The starts of the ids of images that it is for; empty for all.")] = ()
    presets: Annotated[
        tuple[str, ...], Doc("The only presets that it may request pictures with; empty for any parameters.")
    ] = ()
    site: Annotated[str, Doc("The site that it is for; empty for all.")] = ""
    created: Annotated[datetime, Doc("When it was created.")]
    expires: Annotated[datetime | None, Doc("When it ends to be valid; null for never.")] = None
    used: Annotated[datetime | None, Doc("When it was last used, within a minute or so; null for never.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetRecord:
    """A preset."""

    name: Annotated[str, Doc("Its name.")]
    parameters: Annotated[str, Doc("As it is written, as a query.")]
    query: Annotated[str, Doc("The parameters that it stands for, with those that it inherits.")]
    origin: Annotated[str, Doc("Where it is written: `built-in`, `settings` or `catalog`.")]
    aliases: Annotated[tuple[str, ...], Doc("Other names of it.")] = ()
    locked: Annotated[tuple[str, ...], Doc("The parameters that no URL may change.")] = ()
    changed: Annotated[datetime | None, Doc("When it was changed; null if it is not in the catalog.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """A management call."""

    at: Annotated[datetime, Doc("When it was made.")]
    actor: Annotated[str, Doc("Who made it: `admin`, or `key:` and the id of a key.")]
    address: Annotated[str, Doc("The address of the client.")]
    action: Annotated[str, Doc("The operation, as in this document.")]
    target: Annotated[str, Doc("The image id or the id of another object; empty for a call about many.")] = ""
    before: Annotated[Mapping[str, Any], Doc("What people had written about the image.")] = field(
        default_factory=dict, hash=False
    )
    after: Annotated[Mapping[str, Any], Doc("What was requested.")] = field(default_factory=dict, hash=False)
    request_id: Annotated[str, Doc("The id of the request.")] = ""


@dataclass(frozen=True, slots=True)
class UsageCount:
    """What one subject has caused."""

    subject: Annotated[str, Doc("The client, referrer or image.")]
    number: Annotated[int, Doc("Requests, renditions or bytes.")]
    reasons: Annotated[Mapping[str, int], Doc("The same by error code, `cold` or `bytes`.")]


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deleted image."""

    image_id: Annotated[str, Doc("The image id.", name="id")]
    trash_item: Annotated[str | None, Doc("The item in the trash; null if the image is deleted permanently.")] = None
    until: Annotated[datetime | None, Doc("When the item will be removed from the trash.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashItem:
    """A deleted image that can be restored."""

    item: Annotated[str, Doc("The name of the item.")]
    image_id: Annotated[str, Doc("The former image id.", name="id")]
    deleted: Annotated[datetime, Doc("When it was deleted.")]
    until: Annotated[datetime | None, Doc("When it will be removed from the trash.")] = None
    size: Annotated[int, Doc("The size of the original.", name="bytes")]


@dataclass(frozen=True, slots=True)
class Purged:
    """The result of a purge."""

    images: Annotated[int, Doc("The number of purged images, including those without renditions.")]
    renditions: Annotated[int, Doc("The number of removed renditions.")]

    def __add__(self, other: "Purged") -> "Purged":
        return Purged(self.images + other.images, self.renditions + other.renditions)


@dataclass(frozen=True, slots=True)
class StoredRendition:
    """A stored rendition of an image."""

    name: Annotated[str, Doc("Identifies it among the renditions of the image.")]
    transform: Annotated[
        str | None,
        Doc("Its parameters in canonical form, empty for none; null if they are too long to be part of the name."),
    ]
    media_type: Annotated[str, Doc("The media type.")]
    size: Annotated[int, Doc("The size.", name="bytes")]
    width: Annotated[int, Doc("Width in pixels; 0 if it was copied to the cache and not used yet.")]
    height: Annotated[int, Doc("Height in pixels; 0 if it was copied to the cache and not used yet.")]
    made: Annotated[datetime | None, Doc("When it was stored; null without a disk tier.")] = None
    used: Annotated[
        datetime | None,
        Doc("When it was last used, to within seconds, without hits in memory; null without a disk tier."),
    ] = None


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag in use."""

    tag: Annotated[str, Doc("The tag.")]
    images: Annotated[int, Doc("The number of images with the tag.")]


@dataclass(frozen=True, slots=True)
class Stats:
    """Statistics of the server."""

    images: Annotated[int, Doc("The number of images in the catalog.")]
    size: Annotated[int, Doc("The total size of their originals.", name="bytes")]
    problems: Annotated[int, Doc("The number of files that cannot be served.")]
    version: Annotated[str, Doc("The version of imgserve.")]


@dataclass(frozen=True, slots=True)
class Warmed:
    """The progress of warming."""

    done: Annotated[int, Doc("How many of `total` are done, including failures.")]
    total: Annotated[int, Doc("The number of images times the number of presets and transforms.")]
    failed: Annotated[int, Doc("How many failed.")]
    made: Annotated[
        int, Doc("New renditions; with `auto=format` one for each class of browsers, without those that were cached.")
    ]
    image_id: Annotated[str, Doc("The image of this line.", name="id")] = ""
    error: Annotated[ImgserveError | None, Doc("The error, if it failed.", name="problem")] = None
    finished: Annotated[bool, Doc("True in the last line.")] = False


@dataclass(frozen=True, slots=True)
class Problem:
    """A file among the originals that cannot be served."""

    image_id: Annotated[str, Doc("The image id that it would have.", name="id")]
    code: Annotated[str, Doc("The code of the error.")]
    detail: Annotated[str, Doc("The cause.")]
    since: Annotated[datetime, Doc("When the problem was found.")]


@dataclass(frozen=True, slots=True)
class FileProblem(Problem):
    """The same, with the version of the file."""

    version: str
    """`Original.file_version` of the file."""


SLOW = "slow"
"""The code of a rendition that was rendered, but took long."""


@dataclass(frozen=True, slots=True)
class RenderProblem:
    """A rendition that failed, or took long to render."""

    image_id: Annotated[str, Doc("The image id.", name="id")]
    transform: Annotated[str, Doc("The canonical parameters; the steps of a chain are separated by `then`.")]
    code: Annotated[str, Doc("The code of the error; `slow` if it was rendered.")]
    detail: Annotated[str, Doc("The cause; empty if it was rendered.")]
    seconds: Annotated[float, Doc("The longest time that it took in its process.")]
    times: Annotated[int, Doc("How often it happened.")]
    last: Annotated[datetime, Doc("When it happened last.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """A bulk import."""

    job_id: Annotated[str, Doc("Its public id.", name="id")]
    name: Annotated[str, Doc("What people call it, such as the name of the file.")] = ""
    state: Annotated[str, Doc("`loading`, `running`, `paused`, `finished`, `cancelled` or `deleting`.")]
    output: Annotated[
        str, Doc("The parameters of the rendition that is made of each image, such as `preset=card`; empty for none.")
    ] = ""
    refresh: Annotated[bool, Doc("Whether images that an earlier import stored are fetched again if they changed.")] = (
        False
    )
    webhook: Annotated[str, Doc("The URL that is called when it is finished; empty for none.")] = ""
    each_product: Annotated[bool, Doc("Whether the webhook is also called for each finished product.")] = False
    who: Annotated[str, Doc("Who started it.")] = ""
    rows: Annotated[int, Doc("Rows of the table.")] = 0
    products: Annotated[int, Doc("Different products.")] = 0
    images: Annotated[int, Doc("Different images of all products.")] = 0
    duplicates: Annotated[int, Doc("URLs that are repeated within a product, and used once.")] = 0
    invalid: Annotated[int, Doc("Rows with a mistake.")] = 0
    created: Annotated[datetime, Doc("When it was created.")]
    changed: Annotated[datetime, Doc("When its state last changed.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportItem:
    """An image of a bulk import."""

    item: Annotated[int, Doc("Its number in the order of the table, from 0.")]
    line: Annotated[int, Doc("The line of the table on which it first appears.")]
    product: Annotated[str, Doc("The product, as in the image id.")]
    url: Annotated[str, Doc("Where it is fetched from.")]
    state: Annotated[str, Doc("`queued`, `fetching`, `stored`, `duplicate`, `failed` or `cancelled`.")]
    attempts: Annotated[int, Doc("How often it was tried.")] = 0
    due: Annotated[datetime, Doc("Not tried again before this time.")]
    status: Annotated[int | None, Doc("The HTTP status of the last response; null for none.")] = None
    size: Annotated[int, Doc("The size of the file; 0 if there is none.", name="bytes")] = 0
    sha256: Annotated[str, Doc("SHA-256 of the file; empty if there is none.")] = ""
    image_id: Annotated[str, Doc("The image id; of a `duplicate`, that of the same bytes in the product.")] = ""
    reason: Annotated[str, Doc("Why it failed or waits, or what is to be known about it.")] = ""
    changed: Annotated[datetime, Doc("When its state last changed.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowHost:
    """A host that keeps failing, so that an import waits between its attempts."""

    host: Annotated[str, Doc("The host.")]
    failures: Annotated[int, Doc("Failures in succession.")]
    until: Annotated[datetime, Doc("Nothing is fetched from it before this time.")]
    reason: Annotated[str, Doc("The last failure.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """A call of a webhook."""

    delivery_id: Annotated[str, Doc("Its id, the same in each attempt.", name="id")]
    event: Annotated[str, Doc("`import.finished` or `import.product.finished`.")]
    product: Annotated[str, Doc("The finished product; empty for the whole import.")] = ""
    url: Annotated[str, Doc("The address that is called.")]
    state: Annotated[str, Doc("`waiting`, `delivered` or `failed`.")]
    attempts: Annotated[int, Doc("How often it was tried.")] = 0
    due: Annotated[datetime, Doc("When it is tried next, if it waits.")]
    status: Annotated[int | None, Doc("The HTTP status of the last response; null for none.")] = None
    reason: Annotated[str, Doc("Why the last attempt failed.")] = ""
    changed: Annotated[datetime, Doc("When it was last tried.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportProgress:
    """How far an import is."""

    state: Annotated[str, Doc("The state of the import.")]
    counts: Annotated[Mapping[str, int], Doc("Images by state.")] = field(hash=False)
    images: Annotated[int, Doc("All images.")]
    done: Annotated[int, Doc("Images that are neither queued nor fetching.")]
    rate: Annotated[float | None, Doc("Images per second, of the last 20 seconds; null if unknown.")] = None
    remaining: Annotated[float | None, Doc("Seconds until the end at this rate; null if unknown.")] = None
