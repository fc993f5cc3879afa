"""What the API tells beside records of images: changes of many, trash, problems, figures, errors."""

from datetime import datetime
from typing import Self

from imgserve.library.results import Deleted, Purged, TrashItem
from imgserve.model import Problem
from imgserve.web.api.told import Next, Told


class TagOut(Told):
    """A tag in use."""

    tag: str
    """The tag."""
    images: int
    """How many images have it."""


class TagsOut(Told):
    """The tags in use."""

    tags: list[TagOut]
    """The most used first."""


class ChangedOut(Told):
    """What a change of many did."""

    changed: int
    """Images that it changed."""


class DeletedOne(Told):
    """An image that was deleted."""

    id: str
    """Its id."""
    trash_item: str | None
    """By what it can be restored; null where it is gone for good."""
    until: datetime | None
    """When the trash gives it up."""

    @classmethod
    def of(cls, deleted: Deleted) -> Self:
        """Tell of one."""
        return cls(id=deleted.image_id, trash_item=deleted.item, until=deleted.until)


class DeletedOut(Told):
    """What was deleted."""

    deleted: list[DeletedOne]
    """Each image that was there."""


class PurgedOut(Told):
    """What a purge removed."""

    images: int
    """Images that were purged, whether anything was kept of them or not."""
    renditions: int
    """Pictures that were removed."""

    @classmethod
    def of(cls, purged: Purged) -> Self:
        """Tell of a purge."""
        return cls(images=purged.images, renditions=purged.renditions)


class TrashItemOut(Told):
    """A deleted image that can be restored."""

    item: str
    """Its name in the trash."""
    id: str
    """The image id that it had."""
    deleted: datetime
    """When it was deleted."""
    until: datetime
    """When the trash gives it up."""
    bytes: int
    """Of the original."""

    @classmethod
    def of(cls, item: TrashItem) -> Self:
        """Tell of one."""
        return cls(item=item.item, id=item.image_id, deleted=item.deleted, until=item.until, bytes=item.size)


class TrashOut(Told):
    """The trash."""

    items: list[TrashItemOut]
    """Oldest first."""


class DestroyedOut(Told):
    """What was deleted for good."""

    destroyed: int
    """Items of the trash."""


class ProblemOne(Told):
    """A file among the originals that is no image, or none that can be used."""

    id: str
    """The image id that it would have."""
    code: str
    """Of the error that it met."""
    detail: str
    """What is wrong with it."""
    since: datetime
    """When it was first met."""

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """Tell of one."""
        return cls(id=problem.image_id, code=problem.code, detail=problem.detail, since=problem.since)


class ProblemsOut(Told):
    """A page of problems."""

    problems: list[ProblemOne]
    """In the order of their ids."""
    next: Next


class StatsOut(Told):
    """The server in figures."""

    images: int
    """Images in the catalog."""
    bytes: int
    """Of their originals."""
    problems: int
    """Files that are no usable images."""
    version: str
    """Of imgserve."""


class TierOut(Told):
    """A tier of the cache."""

    entries: int
    """Pictures that it keeps."""
    bytes: int
    """Which they take."""
    limit_bytes: int
    """Which they may take; 0 for a tier that is off."""
    hits: int
    """Look-ups that it answered, since this server process began."""
    misses: int
    """Look-ups that it could not answer."""
    evictions: int
    """Pictures removed for space."""
    degraded: bool
    """Whether it fails right now; pictures are served without it."""


class CacheOut(Told):
    """What is kept of what was made."""

    memory: TierOut
    """Pictures in memory, of the server process that answers."""
    disk: TierOut
    """Pictures on disk."""
    mezzanine: TierOut
    """Reduced copies that pictures are made from."""
