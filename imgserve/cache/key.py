"""The rendition key: its ETag, its place in the cache folder, and the other renditions of its original."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

RENDITIONS = "renditions"
"""The folder, below the cache folder, that holds the pictures."""
MEZZANINES = "mezzanines"
"""The folder next to it that holds mezzanines, named in the same way."""
_WORD = re.compile(r"[0-9A-Za-z_]{1,32}")
_VERSION = re.compile(r"(?!-)[0-9A-Za-z_-]{1,32}")
_TEXT = re.compile(r"(?!~)[0-9A-Za-z._~=,:;&+%@!*()-]{0,150}")
_HASHED = "~[0-9a-f]{32}"
_PART = f"(?:{_WORD.pattern}|{_HASHED})"
_DOTTED = rf"(?:(?!\.)[0-9A-Za-z_.]{{1,32}}|{_HASHED})"
_MARK_DIGITS = 16
_FOLDER = re.compile(rf"(?:{RENDITIONS}|{MEZZANINES})/([0-9a-f]{{2}})/\1[0-9a-f]{{30}}")
_NAME = re.compile(rf"(?:@[0-9a-f]{{{_MARK_DIGITS}}}\.)?{_DOTTED}-{_PART}-(?:{_TEXT.pattern}|{_HASHED})\.{_PART}")


@dataclass(frozen=True, slots=True)
class RenditionKey:
    """Identifies one rendition."""

    image_id: str
    """Bytes that are not UTF-8 are surrogate escapes."""
    version: str
    """Of the original."""
    canonical: str
    """Canonical text of the transform; may be empty."""
    revision: str
    """Changes with everything else that decides the bytes: pipeline, libvips, encoder settings."""
    extension: str
    """Of the rendition's format, without the dot."""
    mark: str = ""
    """Image id of the mark in it, of which the version contains the version too; empty for none."""

    @property
    def tag(self) -> str:
        """Hash in 32 hexadecimal digits, equal on every node; an ETag starts with it."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.image_id, self.version, self.canonical, self.revision, self.extension):
            octets = _octets(part)
            # The length in front distinguishes ("ab", "c") from ("a", "bc").
            digest.update(len(octets).to_bytes(8, "big") + octets)
        return digest.hexdigest()

    @property
    def folder(self) -> str:
        """Folder of all renditions of this image, relative to the cache folder."""
        return image_folder(self.image_id)

    @property
    def path(self) -> str:
        """Path of this rendition, relative to the cache folder."""
        return self.path_in(RENDITIONS)

    def path_in(self, top: str) -> str:
        """Return the path of this key below one of the top folders, relative to the cache folder."""
        # A dash ends the version in the name, so it may not have any.
        version = _literal_or_hash(_VERSION, self.version).replace("-", ".")
        revision = _literal_or_hash(_WORD, self.revision)
        canonical = _literal_or_hash(_TEXT, self.canonical)
        extension = _literal_or_hash(_WORD, self.extension)
        mark = mark_prefix(self.mark) if self.mark else ""
        return f"{image_folder(self.image_id, top)}/{mark}{version}-{revision}-{canonical}.{extension}"


def mark_prefix(image_id: str) -> str:
    """Return the start of the file names of renditions in which an image is the mark."""
    return f"@{_hash(image_id)[:_MARK_DIGITS]}."


def image_folder(image_id: str, top: str = RENDITIONS) -> str:
    """Return the folder of all renditions of an image, relative to the cache folder."""
    digest = _hash(image_id)
    return f"{top}/{digest[:2]}/{digest}"


def is_image_folder(path: str) -> bool:
    """Return whether a relative path is one that `image_folder` returns."""
    return _FOLDER.fullmatch(path) is not None


def is_rendition_path(path: str) -> bool:
    """Return whether a relative path is that of a `RenditionKey`."""
    folder, _, name = path.rpartition("/")
    return is_image_folder(folder) and is_rendition_name(name)


def transform_text(name: str) -> str | None:
    """Return the canonical text in the name of a file; None if that was too long for a name."""
    text = name.split("-", 2)[2].rpartition(".")[0]
    return None if text.startswith("~") else text


def is_rendition_name(name: str) -> bool:
    """Return whether a name is that of the file of a `RenditionKey`."""
    return _NAME.fullmatch(name) is not None


def _literal_or_hash(literal: re.Pattern[str], text: str) -> str:
    return text if literal.fullmatch(text) else f"~{_hash(text)}"


def _hash(text: str) -> str:
    # SHA-256, because shells, nginx modules and CDNs have it; half of it is as safe as names in a folder need.
    return hashlib.sha256(_octets(text)).hexdigest()[:32]


def _octets(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Surrogates that stand for no byte: no file has such a name, but a URL can spell one.
        return text.encode("utf-8", "surrogatepass")


MOST_SIBLINGS = 1000
"""The default number of renditions per original; a look-up takes a few milliseconds at most."""


@dataclass(frozen=True, slots=True)
class Sibling:
    """A rendition of the same version of the same original, made by the same pipeline."""

    key: RenditionKey
    width: int
    height: int


def name_range(key: RenditionKey) -> tuple[str, str]:
    """Return two paths, between which the paths of all siblings are in the order of text."""
    start = _start(key)
    # "." follows "-" in ASCII, so this is the range of all names with this prefix.
    return start, f"{start[:-1]}."


def siblings(key: RenditionKey, found: Iterable[tuple[str, int, int]]) -> list[Sibling]:
    """Return the siblings among (path, width, height); a name with a hash has no readable key and is left out."""
    start = _start(key)
    listed = []
    for path, width, height in found:
        canonical, dot, extension = path.removeprefix(start).rpartition(".")
        sibling = replace(key, canonical=canonical, extension=extension)
        if dot and sibling != key and sibling.path == path:
            listed.append(Sibling(sibling, width, height))
    return listed


def _start(key: RenditionKey) -> str:
    """Return the common prefix of the paths of all siblings."""
    return replace(key, canonical="", extension="x").path.removesuffix(".x")
