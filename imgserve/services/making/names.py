"""What pictures are called in an archive: like their images, safe to unpack anywhere, each once. No ZIP here."""

import re
import unicodedata

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\\\ud800-\udfff\u202a-\u202e\u2066-\u2069]')
"""What some system does not have in names, or takes for something else; and what turns the direction of text."""
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_LONGEST = 100
"""Characters of a part, with up to 255 bytes on any system, and room for a number."""


class ArchiveNames:
    """Gives names, none of which leads out of where they are unpacked, nor over another."""

    def __init__(self, *reserved: str) -> None:
        """Take names that are taken already."""
        self._files = {_alike(name) for name in reserved}
        self._folders: set[str] = set()

    def name(self, image_id: str, extension: str) -> str:
        """Name a picture like its image, with the extension of what was made of it."""
        *folders, last = [_safe(part) for part in image_id.split("/") if part not in {"", ".", ".."}] or ["image"]
        folder = self._folder(folders)
        stem = last.rpartition(".")[0] or last
        name, number = f"{folder}{stem}.{extension}", 1
        while _alike(name) in self._files or _alike(name) in self._folders:
            number += 1
            name = f"{folder}{stem} ({number}).{extension}"
        self._files.add(_alike(name))
        return name

    def _folder(self, parts: list[str]) -> str:
        """Write folders, none of them called like a file."""
        path = ""
        for part in parts:
            free = part
            while _alike(path + free) in self._files:
                free += "_"
            path += free
            self._folders.add(_alike(path))
            path += "/"
        return path


def _safe(part: str) -> str:
    name = _UNSAFE.sub("_", part)
    stem, dot, extension = name.rpartition(".")
    if len(name) > _LONGEST:
        name = (
            stem[: _LONGEST - len(extension) - 1] + dot + extension
            if len(extension) < _LONGEST // 2
            else name[:_LONGEST]
        )
    name = name.rstrip(". ").lstrip(" ") or "_"
    return f"_{name}" if _DEVICES.match(name) else name


def _alike(name: str) -> str:
    """Write names alike that one system or another takes for the same."""
    return unicodedata.normalize("NFC", name).casefold()
