"""Every encoder setting that is compared: format, options, and whether a quality can be searched for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyvips

_SAVERS: dict[str, Callable[..., Any]] = {
    "jpg": pyvips.Image.jpegsave_buffer,
    "webp": pyvips.Image.webpsave_buffer,
    "avif": pyvips.Image.heifsave_buffer,
    "png": pyvips.Image.pngsave_buffer,
    "gif": pyvips.Image.gifsave_buffer,
    "tiff": pyvips.Image.tiffsave_buffer,
}


@dataclass(frozen=True)
class Candidate:
    """One way to encode."""

    format: str
    label: str
    options: dict[str, Any] = field(default_factory=dict)
    lossy: bool = False
    """Has a quality, which is searched for."""

    def encode(self, image: pyvips.Image, quality: int | None = None) -> bytes:
        """Encode once, with nothing of the metadata."""
        extra = {} if quality is None else {"Q": quality}
        return bytes(_SAVERS[self.format](image, keep="none", **self.options, **extra))


def _jpg(label: str, **options: object) -> Candidate:
    return Candidate("jpg", label, {"optimize_coding": True, "interlace": True, "subsample_mode": "on"} | options, True)


def _webp(label: str, **options: object) -> Candidate:
    return Candidate("webp", label, options, True)


def _avif(label: str, **options: object) -> Candidate:
    return Candidate("avif", label, {"compression": "av1", "bitdepth": 8, "subsample_mode": "on"} | options, True)


REFERENCE = _jpg("progressive, optimized")
REFERENCE_QUALITY = 80

CANDIDATES: tuple[Candidate, ...] = (
    REFERENCE,
    _jpg("progressive, standard tables", optimize_coding=False),
    _jpg("baseline, optimized", interlace=False),
    _jpg("baseline, standard tables", interlace=False, optimize_coding=False),
    _jpg("progressive, 4:4:4", subsample_mode="off"),
    _jpg("progressive, quant table 2", quant_table=2),
    _jpg("progressive, quant table 3", quant_table=3),
    _jpg("progressive, quant table 4", quant_table=4),
    _jpg("progressive, overshoot", overshoot_deringing=True),
    _jpg("progressive, trellis", trellis_quant=True),
    _jpg("baseline, trellis", trellis_quant=True, interlace=False),
    _jpg("progressive, trellis, table 3", trellis_quant=True, quant_table=3),
    _jpg("progressive, optimized scans", optimize_scans=True),
    _jpg(
        "progressive, trellis, overshoot, scans, table 3",
        trellis_quant=True,
        overshoot_deringing=True,
        optimize_scans=True,
        quant_table=3,
    ),
    *(_webp(f"effort {effort}", effort=effort) for effort in range(7)),
    _webp("effort 2, smart subsample", effort=2, smart_subsample=True),
    _webp("effort 4, smart subsample", effort=4, smart_subsample=True),
    _webp("effort 2, preset photo", effort=2, preset="photo"),
    _webp("effort 4, preset photo", effort=4, preset="photo"),
    _webp("effort 4, smart deblock", effort=4, smart_deblock=True),
    *(_avif(f"effort {effort}", effort=effort) for effort in range(4)),
    *(_avif(f"effort {effort}, tune ssim", effort=effort, tune="ssim") for effort in range(3)),
    _avif("effort 1, 4:4:4", effort=1, subsample_mode="off"),
    _avif("effort 4", effort=4),
    _avif("effort 5", effort=5),
    *(
        Candidate("png", f"compression {compression}, {kind}", {"compression": compression, "filter": kind})
        for kind in ("none", "up", "paeth", "all")
        for compression in range(1, 10)
    ),
    *(Candidate("png", f"palette, effort {effort}", {"palette": True, "effort": effort}) for effort in (1, 4, 7, 10)),
    Candidate("png", "palette, effort 4, no dither", {"palette": True, "effort": 4, "dither": 0.0}),
    *(Candidate("gif", f"effort {effort}", {"effort": effort}) for effort in (1, 2, 3, 4, 5, 7, 10)),
    *(Candidate("gif", f"effort 3, dither {dither}", {"effort": 3, "dither": dither}) for dither in (0.0, 0.5)),
    *(Candidate("tiff", f"{kind}", {"compression": kind}) for kind in ("none", "lzw", "deflate")),
    *(
        Candidate("tiff", f"{kind}, predictor", {"compression": kind, "predictor": "horizontal"})
        for kind in ("lzw", "deflate")
    ),
)
