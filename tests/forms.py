"""Forms as browsers and command lines write them."""

from collections.abc import Iterable

BOUNDARY = "frontier"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
Part = tuple[str, str | None, bytes]
"""Field name, file name (None for a field that is no file), bytes."""


def form(parts: Iterable[Part]) -> bytes:
    """Write a form."""
    return b"".join(opening(name, file_name) + data + b"\r\n" for name, file_name, data in parts) + closing()


def opening(name: str, file_name: str | None) -> bytes:
    """Write what stands before the bytes of a part."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
    head += "" if file_name is None else f'; filename="{file_name}"\r\nContent-Type: image/jpeg'
    return head.encode() + b"\r\n\r\n"


def closing() -> bytes:
    """Write the end of a form."""
    return f"--{BOUNDARY}--\r\n".encode()
