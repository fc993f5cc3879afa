"""libvips, made ready once per process: which loaders it may use, no cache, one thread."""

import contextlib
from collections.abc import Iterable, Iterator

import pyvips

from imgserve.errors import LimitExceeded, UnreadableImage

# Everything is blocked first, since the untrusted flag alone leaves loaders such as `matrixload` open: a text file of
# numbers would be a picture. Names are libvips class names, so that an operator can allow another one back.
LOADERS = (
    "VipsForeignLoadJpeg",
    "VipsForeignLoadPng",
    "VipsForeignLoadWebp",
    "VipsForeignLoadNsgif",
    "VipsForeignLoadHeif",
    "VipsForeignLoadTiff",
    "VipsForeignLoadSvg",
)


def prepare(allowed: Iterable[str] = (), *, threads: int = 1) -> None:
    """Block every loader but the named ones, switch the operation cache off, set the threads of this process."""
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(threads)
    pyvips.block_untrusted_set(True)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in (*LOADERS, *allowed):
        pyvips.operation_block_set(name, False)


def version() -> str:
    """Tell the version of libvips in use."""
    return ".".join(str(pyvips.version(part)) for part in range(3))


@contextlib.contextmanager
def translated(format_name: str) -> Iterator[None]:
    """Raise what goes wrong with an original inside as an UnreadableImage."""
    try:
        yield
    except pyvips.Error as error:
        raise as_error(error, format_name) from error


def as_error(error: pyvips.Error, format_name: str) -> UnreadableImage:
    """Turn what libvips says into an error a client may see: one line, no more."""
    lines = [line.strip() for line in str(error.detail or error.message).splitlines() if line.strip()]
    said = lines[0][:160] if lines else "no detail"
    if "out of memory" in said:
        return LimitExceeded(f"The original needs more memory than one picture may take ({format_name}).")
    return UnreadableImage(f"The original is damaged and cannot be decoded ({format_name}: {said}).")
