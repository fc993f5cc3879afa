"""Find the original that a URL path names."""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import anyio
from anyio import to_thread
from cachetools import LRUCache, TTLCache

from imgserve.cache import SingleFlight
from imgserve.errors import CatalogUnavailable, ImageNotFound, ImgserveError, quoted, suggestion
from imgserve.formats import BY_EXTENSION
from imgserve.model import Focus, Original
from imgserve.originals.folder import Originals, names_of_stem, spellings

T = TypeVar("T")

_MAX_CACHED = 20_000
"""Images; a flood of names only makes others be read again."""
_MAX_LENGTH, _MAX_DEPTH = 2048, 64
"""Characters and folders of an image id; the cost of a file's stat grows with its depth."""
_ABSENT_SECONDS = 1.0
"""At least so long a missing name is not looked up again."""
_ANY = "\0"
_FOCUS_TIMEOUT, _FOCUS_PAUSE = 0.25, 1.0
"""Seconds to wait for the catalog, and to read nothing after a failure."""
ReadFocus = Callable[[str], Awaitable[Focus]]
"""Returns what is stored about the crops of an image; may raise CatalogUnavailable."""
ReadRedirects = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]
"""Returns the ids to which some ids are redirected; may raise CatalogUnavailable."""


async def _no_focus(_image_id: str) -> Focus:
    return Focus()


class CatalogReader:
    """Reads the catalog for pictures, which are served without it: little is waited for, and failures pause it."""

    def __init__(self) -> None:
        self._paused_until = 0.0

    async def read(self, work: Callable[[], Awaitable[T]], default: T) -> tuple[T, bool]:
        """Return what was read and True, or the default and False."""
        if time.monotonic() >= self._paused_until:
            try:
                with anyio.fail_after(_FOCUS_TIMEOUT):
                    return await work(), True
            except (CatalogUnavailable, TimeoutError):
                # The catalog has logged its error.
                self._paused_until = time.monotonic() + _FOCUS_PAUSE
        return default, False


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a path means if it names an image by some id: that image in another format, with a preset."""

    extension: str = ""
    preset: str = ""

    def path(self, image_id: str) -> str:
        """Return the path that means the same for another id."""
        name = f"{image_id.rpartition('.')[0]}.{self.extension}" if self.extension else image_id
        return f"{name}/{self.preset}" if self.preset else name


@dataclass(slots=True, eq=False)
class CachedStat:
    """The result of looking for an original, and how long it is valid.

    While nothing changes it is the same object: a later look with the same result prolongs it for all holders.
    """

    seen: Original | ImgserveError
    until: float
    """By `time.monotonic`."""
    focus_known: bool = True
    """False if the focal point could not be read."""


@dataclass(frozen=True, slots=True)
class Found:
    """An original, with the preset or format in the path."""

    original: Original
    preset: str | None = None
    format: str | None = None
    """The output format of the path's extension."""
    stats: tuple[CachedStat, ...] = ()
    """The results that this depends on: it is valid while all of them are."""


class Locator:
    """Finds originals and reads the file of each at most once in a recheck time."""

    def __init__(
        self,
        originals: Originals,
        *,
        recheck: float,
        presets: Collection[str],
        focus: ReadFocus = _no_focus,
        redirects: ReadRedirects | None = None,
    ) -> None:
        """Look at a file at most every `recheck` seconds.

        `presets` are names in lower case, which a path may end in; they may change at any time. `focus` returns
        the stored focal point and faces of an image, and `redirects` where images were moved to.
        """
        self._originals = originals
        self._recheck = recheck
        self._presets = presets
        self._focus = focus
        self._redirects = redirects
        self._focal_points, self._moves = CatalogReader(), CatalogReader()
        # An original is cached beyond the time: the next look is cheap, and its stat can be prolonged.
        self._present: LRUCache[str, CachedStat] = LRUCache(_MAX_CACHED)
        self._absent_seconds = max(recheck, _ABSENT_SECONDS) if recheck else 0.0
        self._absent: TTLCache[str, CachedStat] = TTLCache(_MAX_CACHED, self._absent_seconds)
        self._flights: SingleFlight[str, CachedStat] = SingleFlight()
        self._moved: TTLCache[str, tuple[str, str]] = TTLCache(_MAX_CACHED, self._absent_seconds)
        self._unmoved: TTLCache[str, bool] = TTLCache(_MAX_CACHED, self._absent_seconds)
        self._move_flights: SingleFlight[str, tuple[str, str] | None] = SingleFlight()

    async def find(self, path: str) -> Found:
        """Return the original that a path means.

        Raises:
            ImageNotFound: it does not exist under any meaning of the path; the error contains its id.
            UnsupportedImage, OriginalUnsettled, Unavailable: it exists and cannot be read (yet).
        """
        if len(path) > _MAX_LENGTH or path.count("/") >= _MAX_DEPTH:
            raise ImageNotFound
        found, stats = await self._by_name(path)
        if found is not None:
            return found
        folder, _, last = path.rpartition("/")
        detail = f"There is no image {quoted(path)}."
        known = last.lower() in self._presets
        # Without a preset of this name it is a folder like any other, unless it has the name of a picture.
        if folder and (known or folder.rpartition(".")[2].lower() in BY_EXTENSION):
            found, _ = await self._by_name(folder)
            if found is not None and known:
                return replace(found, preset=last.lower(), stats=(*stats, *found.stats))
            if found is not None:
                path, near = folder, suggestion(last, self._presets) or "."
                detail = f"The image {quoted(folder)} exists, but there is no preset {quoted(last)}{near}"
        raise ImageNotFound(detail, members={"id": path})

    async def find_exactly(self, image_id: str) -> Found:
        """Return an original by its id; no other meaning of the path is tried. Raises as `find` does."""
        found = await self.find(image_id)
        if found.original.image_id not in spellings(image_id):
            raise ImageNotFound
        return found

    async def moved(self, path: str) -> str | None:
        """Return the path that names a moved image now and means the same, or None.

        As a missing file, what a path does not mean is not looked up again for a moment.
        """
        if self._redirects is None or path in self._unmoved or len(path) > _MAX_LENGTH:
            return None
        found = self._moved.get(path)
        if found is None:
            found, _ = await self._move_flights.do(path, lambda: self._look_for_move(path))
        if found is None:
            return None
        image_id, new_path = found
        try:
            now = await self.find(new_path)
        except ImageNotFound:  # deleted, or moved by a process that is not known to have done so
            return None
        return new_path if now.original.image_id == image_id else None

    async def _look_for_move(self, path: str) -> tuple[str, str] | None:
        """Return the id and the path of a moved image."""
        reading, meanings = self._redirects, self._meanings(path)
        if reading is None:
            return None
        nowhere: Mapping[str, str] = {}
        targets, _ = await self._moves.read(lambda: reading(meanings), nowhere)
        for old, meaning in meanings.items():
            if target := targets.get(old):
                found = self._moved[path] = target, meaning.path(target)
                return found
        self._unmoved[path] = True
        return None

    def _meanings(self, path: str) -> dict[str, _Meaning]:
        """Return the ids of the images that a path may mean."""
        folder, _, last = path.rpartition("/")
        names = {path: "", folder: last} if folder and last.lower() in self._presets else {path: ""}
        meanings = dict[str, _Meaning]()
        for name, preset in names.items():
            meanings |= {spelling: _Meaning("", preset) for spelling in spellings(name)}
            folder, _, start = _convertible_stem(name).rpartition("/")
            for one in names_of_stem(start) if start else ():
                other = f"{folder}/{one}" if folder else one
                meanings.setdefault(other, _Meaning(name.rpartition(".")[2], preset))
        return meanings

    def forget(self, image_id: str) -> None:
        """Make the next request read the file again."""
        self._moved.clear()
        for name in spellings(image_id):
            self._unmoved.pop(name, None)
            for stats in (self._present, self._absent):
                for stat in (stats.pop(name, None), stats.pop(_any_extension(name), None)):
                    if stat is not None:
                        stat.until = 0.0

    async def _by_name(self, image_id: str) -> tuple[Found | None, tuple[CachedStat, ...]]:
        """Return the original of a name, or of the same name with another extension if its own is a writable format."""
        stat = await self._stat(image_id)
        if isinstance(stat.seen, Original):
            return Found(stat.seen, stats=(stat,)), ()
        if not _convertible_stem(image_id):
            return None, (stat,)
        output = BY_EXTENSION[image_id.rpartition(".")[2].lower()]
        sibling = await self._stat(_any_extension(image_id))
        stats = (stat, sibling)
        if isinstance(sibling.seen, Original):
            return Found(sibling.seen, format=output.name, stats=stats), ()
        return None, stats

    async def _stat(self, name: str) -> CachedStat:
        """Return the cached result for a name, or after its time that of one look for all callers; raise its error."""
        stat = self._present.get(name) or self._absent.get(name)
        if stat is None or time.monotonic() >= stat.until:
            stat, _ = await self._flights.do(name, lambda: self._look_again(name, stat))
        if isinstance(stat.seen, Original | ImageNotFound):
            return stat
        raise stat.seen.with_traceback(None)

    async def _look_again(self, name: str, before: CachedStat | None) -> CachedStat:
        known = before.seen if before is not None and isinstance(before.seen, Original) else None
        seen = await to_thread.run_sync(self._look, name, known)
        until = time.monotonic() + (self._recheck if isinstance(seen, Original) else self._absent_seconds)
        focus_known = True
        if isinstance(seen, Original) and (seen is not known or (before is not None and not before.focus_known)):
            seen, focus_known = await self._focused(seen, known)
        if before is not None and seen is known and self._present.get(name) is before:
            before.until, before.focus_known = until, focus_known
            return before
        self._present.pop(name, None)
        stat = CachedStat(seen, until, focus_known)
        (self._present if isinstance(seen, Original) else self._absent)[name] = stat
        return stat

    async def _focused(self, seen: Original, known: Original | None) -> tuple[Original, bool]:
        """Return an original with its focal point and faces, or the last known ones, and whether they could be read."""
        same = known is not None and known.image_id == seen.image_id
        last = Focus(known.focal_point, known.faces, known.file_version) if known is not None and same else Focus()
        focus, read = await self._focal_points.read(lambda: self._focus(seen.image_id), last)
        faces = focus.faces if focus.version == seen.file_version else ()
        unchanged = (seen.focal_point, seen.faces) == (focus.point, faces)
        return (seen if unchanged else replace(seen.focused(focus.point), faces=faces)), read

    def _look(self, name: str, known: Original | None) -> Original | ImgserveError:
        """Return the stat of a file, or of the first with any extension, in a thread."""
        try:
            ids = self._originals.find_stem(name.removesuffix(f".{_ANY}")) if name.endswith(_ANY) else [name]
        except ImgserveError as error:
            return error
        for image_id in ids:
            same = known if known is not None and known.image_id == image_id else None
            try:
                return self._originals.stat(image_id, same)
            except ImageNotFound:
                continue
            except ImgserveError as error:
                return error
        return ImageNotFound()


def _convertible_stem(path: str) -> str:
    """Return a path without the extension of a format that is written; empty if it has no such extension."""
    stem, dot, extension = path.rpartition(".")
    output = BY_EXTENSION.get(extension.lower()) if dot and not stem.endswith("/") else None
    return stem if output is not None and output.writable else ""


def _any_extension(image_id: str) -> str:
    """Return a name that stands for any extension; no file has it."""
    return f"{image_id.rpartition('.')[0]}.{_ANY}"
