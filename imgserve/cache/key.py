"""The name of a rendition: its tag and its place in the cache folder. Nothing here touches the disk.

Anyone can compute the place of a rendition:

    renditions/<hh>/<hash>/<version>-<revision>-<canonical>.<extension>

`hash` is the first 32 hex digits of the SHA-256 of the image id's bytes (`printf %s ID | sha256sum`), `hh` its first
two. Revision and extension stand as they are if they are 1 to 32 of `0-9 A-Z a-z _`; so does the version, which may
also have dashes inside, written as dots; and so does the canonical text if it is at most 150 of
`0-9 A-Z a-z . _ ~ = , : ; & + % @ ! * ( ) -` and does not begin with `~`. Anything else is written as `~` and the first
32 hex digits of the SHA-256 of its UTF-8. So no two keys share a path, and no file name is longer than 252 bytes.
"""

import hashlib
import re
from dataclasses import dataclass

RENDITIONS = "renditions"
"""The folder, below the cache folder, that holds the pictures."""

MEZZANINES = "mezzanines"
"""The folder beside it that holds what pictures are made from, named in the same way."""

_WORD = re.compile(r"[0-9A-Za-z_]{1,32}")
_VERSION = re.compile(r"(?!-)[0-9A-Za-z_-]{1,32}")
_TEXT = re.compile(r"(?!~)[0-9A-Za-z._~=,:;&+%@!*()-]{0,150}")
_HASHED = "~[0-9a-f]{32}"
_PART = f"(?:{_WORD.pattern}|{_HASHED})"
_DOTTED = rf"(?:(?!\.)[0-9A-Za-z_.]{{1,32}}|{_HASHED})"
_FOLDER = re.compile(rf"(?:{RENDITIONS}|{MEZZANINES})/([0-9a-f]{{2}})/\1[0-9a-f]{{30}}")
_NAME = re.compile(rf"{_DOTTED}-{_PART}-(?:{_TEXT.pattern}|{_HASHED})\.{_PART}")


@dataclass(frozen=True, slots=True)
class RenditionKey:
    """What tells one rendition from every other."""

    image_id: str
    """Bytes that are not UTF-8 are kept as surrogate escapes."""
    version: str
    """Of the original."""
    canonical: str
    """Canonical text of the transform; may be empty."""
    revision: str
    """Changes with whatever else decides the bytes: pipeline, libvips, encoder settings of the server."""
    extension: str
    """Of the rendition's format, without the dot."""

    @property
    def tag(self) -> str:
        """Name in 32 hex digits, the same on every node; an ETag begins with it."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.image_id, self.version, self.canonical, self.revision, self.extension):
            octets = _octets(part)
            # The length in front keeps ("ab", "c") apart from ("a", "bc").
            digest.update(len(octets).to_bytes(8, "big") + octets)
        return digest.hexdigest()

    @property
    def folder(self) -> str:
        """Folder of all renditions of this image, relative to the cache folder."""
        return image_folder(self.image_id)

    @property
    def path(self) -> str:
        """File of this rendition, relative to the cache folder."""
        return self.path_in(RENDITIONS)

    def path_in(self, top: str) -> str:
        """File of this name below one of the top folders, relative to the cache folder."""
        # A dash ends the version in the name, so it may not have any.
        version = _literal_or_hash(_VERSION, self.version).replace("-", ".")
        revision = _literal_or_hash(_WORD, self.revision)
        canonical = _literal_or_hash(_TEXT, self.canonical)
        extension = _literal_or_hash(_WORD, self.extension)
        return f"{image_folder(self.image_id, top)}/{version}-{revision}-{canonical}.{extension}"


def image_folder(image_id: str, top: str = RENDITIONS) -> str:
    """Name the folder that holds every rendition of an image, relative to the cache folder."""
    digest = _hash(image_id)
    return f"{top}/{digest[:2]}/{digest}"


def is_image_folder(path: str) -> bool:
    """Tell whether a relative path is one that `image_folder` makes."""
    return _FOLDER.fullmatch(path) is not None


def is_rendition_path(path: str) -> bool:
    """Tell whether a relative path is one that a `RenditionKey` makes."""
    folder, _, name = path.rpartition("/")
    return is_image_folder(folder) and _NAME.fullmatch(name) is not None


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
