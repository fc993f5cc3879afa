"""Content-Disposition by RFC 6266 and RFC 8187: what a saved picture is called."""

import posixpath
import re
import unicodedata
from typing import Literal
from urllib.parse import quote

_NAMELESS = "image"
_MAX_STEM = 120  # characters; keeps the header small and the name within what file systems take
_MAX_EXTENSION = 16

# Control characters, line separators, lone surrogates, and the marks that turn the direction of text: `gpj.exe`.
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_ATTR_CHARS = "!#$&+-.^_`|~"  # attr-char of RFC 8187 besides letters and digits
_UNSAFE_ASCII = re.compile(r'["\\%]|[^\x20-\x7e]')  # `%`: some clients decode it even in the plain form


def content_disposition(kind: Literal["inline", "attachment"], filename: str) -> str:
    """Write a Content-Disposition value; `filename*` is added where ASCII cannot hold the name."""
    name = _clean(filename)
    plain = _UNSAFE_ASCII.sub("_", _without_accents(name))
    header = f'{kind}; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"


def file_name_for(image_id: str, extension: str) -> str:
    """Name a rendition after its original: the last segment of its id with another extension."""
    stem, _ = posixpath.splitext(image_id.rstrip("/").rpartition("/")[2])
    return f"{stem or _NAMELESS}.{extension}"


def _clean(filename: str) -> str:
    """Drop every folder and what must not be in a file name; shorten, keeping the extension."""
    last = _UNWANTED.sub("", filename).replace("\\", "/").rpartition("/")[2]
    stem, extension = posixpath.splitext(last.strip(" ").lstrip("."))
    return (stem[:_MAX_STEM].strip(" ") or _NAMELESS) + extension[:_MAX_EXTENSION].rstrip(" .")


def _without_accents(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(character for character in decomposed if not unicodedata.combining(character))
