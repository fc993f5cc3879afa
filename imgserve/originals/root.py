"""The folder that holds originals, and image ids as paths strictly below it."""

import contextlib
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imgserve.errors import BadImageId, ImageExists, ImageNotFound
from imgserve.original_file import resolve

PART_BYTES = 255
"""The limit of one name in every common file system."""
ID_BYTES = 1000
"""An id is part of URLs, some of which are limited to 2000 characters, with bytes written as %XX."""
DEPTH = 64
"""Parts of an id. Deeper folders are a mistake in the names."""
_REFUSED = {"Cc", "Cs", "Zl", "Zp"}
"""Control characters, halves of surrogate pairs (bytes that are not UTF-8), separators of lines and paragraphs."""


def parts_of(image_id: str) -> tuple[str, ...] | None:
    """Return the names of the folders and the file of an id; None if it is hidden or not below a folder."""
    parts = tuple(image_id.split("/"))
    if "\0" in image_id or any(not part or part.startswith(".") for part in parts):
        return None
    return parts


def new_id(text: str) -> str:
    """Return a checked id with composed characters (Unicode NFC), so that ids that look alike are equal.

    Raises:
        BadImageId: no new image can have this id.
    """
    image_id = unicodedata.normalize("NFC", text)
    check_id(image_id)
    return image_id


def check_id(image_id: str) -> None:
    """Check an id for a new image. Existing files may have other ids.

    Raises:
        BadImageId: the message names the broken rule.
    """
    if mistake := _mistake(image_id):
        raise BadImageId(f"No image can have this id: {mistake}.")


def _mistake(image_id: str) -> str:
    parts = image_id.split("/")
    rules = (
        (not all(parts), "it is empty, begins or ends with a slash, or contains //"),
        (any(part.startswith(".") for part in parts), "a part of it begins with a dot, which hides it or leads upward"),
        ("\\" in image_id, "it contains a backslash; folders are separated by /"),
        (_holds_refused(image_id), "it contains a control character, or bytes that are not UTF-8"),
        (not unicodedata.is_normalized("NFC", image_id), "its characters are not composed (Unicode NFC)"),
        (_bytes(image_id) > ID_BYTES, f"it is longer than {ID_BYTES} bytes"),
        (len(parts) > DEPTH, f"it has more than {DEPTH} parts"),
        (max(map(_bytes, parts)) > PART_BYTES, f"a part of it is longer than {PART_BYTES} bytes"),
    )
    return next((sentence for broken, sentence in rules if broken), "")


def _holds_refused(text: str) -> bool:
    return any(unicodedata.category(character) in _REFUSED for character in text)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


OWN = ".imgserve"
"""The folder of imgserve in a folder of originals: hidden, so never served, and on the same file system."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ATTEMPTS = 20
"""Another process may remove an empty folder between its opening and its use."""


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """A folder below the root, and those above it, as open descriptors."""

    descriptors: Sequence[int]
    """Of the root, then one for each part."""
    parts: Sequence[str]

    @property
    def descriptor(self) -> int:
        """The folder itself."""
        return self.descriptors[-1]

    def prune(self, first: int = 0) -> None:
        """Remove the empty ones among the folder and those above it, up to the `first` part; never the root."""
        for depth in reversed(range(first, len(self.parts))):
            # A folder that is not empty, a mount or not writable stays.
            try:
                os.rmdir(self.parts[depth], dir_fd=self.descriptors[depth])
            except FileNotFoundError:
                continue
            except OSError:
                return


@dataclass(frozen=True, slots=True)
class Root:
    """A folder of originals."""

    path: str
    """Resolved, without a trailing slash; empty for the root of the file system."""
    follow_links: bool = True
    """Whether links to targets inside the folder are followed."""

    @classmethod
    def at(cls, folder: Path, *, follow_links: bool) -> "Root":
        """Return the root for a folder, which may be a link."""
        return cls(os.path.realpath(folder).rstrip("/"), follow_links)

    def path_of(self, image_id: str) -> str:
        """Return the path of an image id, strictly below the root.

        Raises:
            ImageNotFound: the id is empty, hidden, climbing or absolute, or a link leads outside.
        """
        parts = parts_of(image_id)
        inside = None if parts is None else self._inside(parts)
        if not inside:
            raise ImageNotFound
        return "/".join((self.path, *inside))

    def folder_path(self, parts: Sequence[str]) -> str:
        """Return the path of a folder below the root, without a trailing slash; no parts mean the root.

        Raises:
            ImageNotFound: as for `path_of`.
        """
        if not parts:
            return self.path or "/"
        return self.path_of("/".join(parts))

    def _inside(self, parts: Sequence[str]) -> Sequence[str] | None:
        """Return the parts with all links followed; None if they are outside or hidden."""
        requested = "/".join((self.path, *parts))
        path = resolve(requested)
        if path == requested:
            return parts
        if not self.follow_links or not f"{path}/".startswith(f"{self.path}/"):
            return None
        inside = [part for part in path[len(self.path) :].split("/") if part]
        return None if any(part.startswith(".") for part in inside) else inside

    @contextlib.contextmanager
    def folder(self, parts: Sequence[str], *, make: bool) -> Iterator[OpenFolder]:
        """Open a folder below the root. Folders that were made are removed if the block fails.

        Raises:
            BadImageId: a link leads outside.
            FileNotFoundError, NotADirectoryError: it does not exist, or is a file.
        """
        inside = self._inside(parts)
        if inside is None:
            raise BadImageId("No image can have this id: a link in it leads out of the folder of originals.")
        with contextlib.ExitStack() as opened:
            descriptors = [_opened(opened, self.path or "/")]
            first_made = len(inside)
            try:
                for depth, part in enumerate(inside):
                    if make and _made(part, descriptors[-1]):
                        first_made = min(first_made, depth)
                    descriptors.append(_opened(opened, part, descriptors[-1]))
                yield OpenFolder(descriptors, inside)
            except BaseException:
                reached = inside[: len(descriptors)]  # the last one may be made, but not opened
                OpenFolder(descriptors, reached).prune(first_made)
                raise

    @contextlib.contextmanager
    def own(self, name: str, *, make: bool) -> Iterator[int]:
        """Open a folder of imgserve, which other accounts cannot read.

        Raises:
            FileNotFoundError: it does not exist, and `make` is false.
        """
        with contextlib.ExitStack() as opened:
            descriptor = _opened(opened, self.path or "/")
            for part in (OWN, name):
                made = make and _made(part, descriptor, 0o700)
                descriptor = _opened(opened, part, descriptor)
                if made and part == OWN:
                    hide_from_git(Path(self.path, OWN), descriptor)
            yield descriptor

    def put(self, image_id: str, move: Callable[[int, str], None]) -> None:
        """Create the folder of an id, call `move(folder, name)` to move a file into it, and flush the folder.

        Raises:
            ImageExists: a file or folder is in the way.
            BadImageId: a link leads outside.
        """
        *above, name = image_id.split("/")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self.folder(above, make=True) as folder:
                    move(folder.descriptor, name)
                    os.fsync(folder.descriptor)
            except FileNotFoundError:
                if attempt == _ATTEMPTS:
                    raise
            except NotADirectoryError as error:
                raise ImageExists("A part of this id is a file, so nothing can be below it.") from error
            except IsADirectoryError as error:
                raise ImageExists("There is a folder of this name.") from error
            except FileExistsError as error:
                raise ImageExists from error
            else:
                return


def hide_from_git(folder: Path, descriptor: int) -> None:
    """Write an ignore file into an open folder of imgserve, if the folder is inside a Git working tree."""
    if not any((above / ".git").exists() for above in folder.parents):
        return
    with contextlib.suppress(OSError):  # it is there already, or cannot be written: then Git lists the folder
        ignore = os.open(".gitignore", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=descriptor)
        with open(ignore, "w", encoding="ascii") as file:  # noqa: PTH123  a descriptor has no path
            file.write("*\n")


def names_in(folder: int) -> list[str]:
    """List an open folder."""
    return os.listdir(folder)


def _opened(stack: contextlib.ExitStack, name: str, above: int | None = None) -> int:
    descriptor = os.open(name, _FOLDER, dir_fd=above)
    stack.callback(os.close, descriptor)
    return descriptor


def _made(name: str, above: int, mode: int = 0o755) -> bool:
    try:
        os.mkdir(name, mode, dir_fd=above)
    except FileExistsError:
        return False
    os.fsync(above)
    return True
