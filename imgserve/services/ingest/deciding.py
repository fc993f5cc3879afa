"""What is recorded of an image, decided from its facts, what was recorded before and what was said. Pure rules."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from imgserve.errors import ImgserveError, TooLarge, UnreadableImage, UnsupportedImage
from imgserve.formats import FORMATS
from imgserve.model import Facts, ImageRecord, Origin, Original, bytes_version, focused_version
from imgserve.services.ingest.results import Details

CHANGEABLE = frozenset({"title", "alt", "description", "tags", "metadata", "focal_point"})
"""What people say of an image; everything else follows from its bytes."""

FILE_NAME = "file_name"
"""Where among the metadata the name is kept that an uploaded file had, if its id does not tell it."""

_FOLDER_DIGITS = 2
_NAME_DIGITS = 20
"""With the folders 96 bits of the digest: no two pictures share them by chance."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An image that was found good, and what is to be recorded of it."""

    original: Original
    """In its place."""
    facts: Facts
    known: str | None
    """Version of the record that there is."""
    origin: Origin
    who: str = ""
    details: Details | None = None
    """What its uploader says; None for a file that somebody put there."""
    name: str = ""
    """Of the file that was uploaded, where the id does not tell it."""

    @property
    def image_id(self) -> str:
        """Whose finding it is."""
        return self.original.image_id


def is_same_file(recorded: str | None, file_version: str) -> bool:
    """Tell whether a recorded version is of these bytes, whatever the focal point."""
    return recorded is not None and bytes_version(recorded) == file_version


def tells_of_the_file(error: ImgserveError) -> bool:
    """Tell whether an error says that the file is no image that can be used, and trying again would not help."""
    return isinstance(error, UnreadableImage | UnsupportedImage | TooLarge)


def name_by_content(sha256: str, format_name: str, *, whole: bool = False) -> str:
    """Make an image id from a digest, in two levels of folders, of which none grows large."""
    first, second, rest = sha256[:_FOLDER_DIGITS], sha256[_FOLDER_DIGITS : 2 * _FOLDER_DIGITS], sha256[4:]
    return f"{first}/{second}/{rest if whole else rest[:_NAME_DIGITS]}.{FORMATS[format_name].extensions[0]}"


def decide(finding: Finding, before: ImageRecord | None, now: datetime) -> ImageRecord | None:
    """Make the record of an image; None to leave the one that there is, since it is of these bytes already.

    What people said stays, what the uploader says now replaces it, and texts of the file fill only what is empty then.
    Of a replaced file these include texts of the old one: nobody can tell them from what people wrote.
    """
    version = finding.original.file_version
    if before is not None and finding.details is None and _is_of(before, finding.facts.sha256, version):
        return None
    said = finding.details.said if finding.details else {}
    record = _filled(_from_facts(finding, now), finding)
    if before is not None:
        record = replace(record, **_kept(before, record))
    record = replace(record, **joined(said, record.metadata))
    return replace(record, version=focused_version(version, record.focal_point))


def joined(said: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Give what was said with its metadata added to what there are."""
    return {**said, "metadata": {**metadata, **said.get("metadata", {})}}


def _is_of(before: ImageRecord, sha256: str, version: str) -> bool:
    return is_same_file(before.version, version) and before.sha256 == sha256


def _from_facts(finding: Finding, now: datetime) -> ImageRecord:
    facts = finding.facts
    return ImageRecord(
        image_id=finding.image_id,
        version=finding.original.file_version,
        sha256=facts.sha256,
        format=facts.format,
        width=facts.width,
        height=facts.height,
        size=facts.size,
        frames=facts.frames,
        alpha=facts.alpha,
        color_space=facts.color_space,
        perceptual_hash=facts.perceptual_hash,
        dominant_color=facts.dominant_color,
        thumbhash=facts.thumbhash,
        origin=finding.origin,
        who=finding.who,
        created=now,
        changed=now,
    )


def _filled(record: ImageRecord, finding: Finding) -> ImageRecord:
    """Add what the file tells of itself."""
    facts = finding.facts
    named = {FILE_NAME: finding.name} if finding.name else {}
    return replace(
        record,
        title=facts.title,
        description=facts.description,
        tags=facts.keywords,
        metadata={**facts.metadata, **named},
    )


def _kept(before: ImageRecord, record: ImageRecord) -> dict[str, Any]:
    """Choose what there was before, where there was anything."""
    texts = {name: value for name in CHANGEABLE - {"metadata"} if (value := getattr(before, name))}
    return texts | {"metadata": {**record.metadata, **before.metadata}}
