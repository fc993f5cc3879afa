"""Addresses that may be fetched, read strictly. Pure: whether a host is allowed is decided when it is resolved."""

import re
from collections.abc import Collection
from email.message import Message
from urllib.parse import unquote

import httpx2

from imgserve.errors import AddressRefused

_LONGEST = 8192
_HOST = re.compile(rb"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}")
"""A name, IDNA encoded, or an address; no zone, no percent, nothing that two readers may read in two ways."""


def read_address(text: str, ports: Collection[int], base: httpx2.URL | None = None) -> httpx2.URL:
    """Read an address, relative to `base` where there is one.

    Raises:
        AddressRefused: it is none, or not one that is fetched; the sentence says what was expected.
    """
    try:
        if len(text) > _LONGEST:
            raise AddressRefused(f"expected an address of at most {_LONGEST} characters")
        url = httpx2.URL(text) if base is None else base.join(text)
    except httpx2.InvalidURL as error:
        raise AddressRefused("expected an address such as https://www.example.com/photo.jpg") from error
    if url.scheme not in {"http", "https"} or not _HOST.fullmatch(url.raw_host):
        raise AddressRefused("expected an address that starts with http:// or https:// and a host name")
    if url.userinfo:
        raise AddressRefused("expected an address without user name and password")
    if port_of(url) not in ports:
        raise AddressRefused("expected an address without a port, or with " + " or ".join(map(str, sorted(ports))))
    return url.copy_with(fragment=None)


def port_of(url: httpx2.URL) -> int:
    """Tell the port that is connected to."""
    return url.port if url.port is not None else {"http": 80, "https": 443}[url.scheme]


def file_name(url: httpx2.URL, disposition: str) -> str:
    """Name what was fetched: as its server says, else by the last part of the address; may be empty."""
    header = Message()
    header["content-disposition"] = disposition.replace("\r", " ").replace("\n", " ")
    told = header.get_filename() if disposition else None
    return told or unquote(url.raw_path.partition(b"?")[0].decode("ascii").rpartition("/")[2], errors="replace")
