"""What the rules of a site cost a memory hit: with every rule enabled, with none, and next to a bare app.

python -m benchmarks.access_rules [--rounds N] [--seconds N]
"""

import argparse
import contextlib
import shutil
import tempfile
from pathlib import Path

from benchmarks.fetch import fetch
from benchmarks.figures import Figures, at_least, ratios
from benchmarks.managed import drawn, settle
from benchmarks.servers import imgserve_as_shipped
from benchmarks.steady import Generator, RepeatedRequest
from imgserve.transform import signed_url

_PATH = "/img/one.jpg?width=300&quality=95"
_CONNECTIONS = 32
_SECRET, _KEY = "a-secret-of-signatures", "an-admin-key-for-benchmarks"
_RULES = {
    "require": "signature",
    "allow_domains": ["*.shop.example"],
    "deny_domains": ["old.shop.example"],
    "qualities": [75, 95],
    "sizes": [300, 600],
    "formats": ["jpg", "webp"],
    "output_pixels": 10**6,
}


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


_SETTINGS: dict[str, dict[str, str]] = {
    "none": {},
    "all": {
        "IMGSERVE_ACCESS__ADMIN_KEY": _KEY,
        "IMGSERVE_SIGNING__SECRETS": _SECRET,
        "IMGSERVE_RATES__NEW_PER_CLIENT": "1000/minute",
        "IMGSERVE_RATES__NEW_PER_IMAGE": "1000/hour",
        **{f"IMGSERVE_RULES__{name.upper()}": _text(value) for name, value in _RULES.items()},
    },
}


def main() -> None:
    """Run both servers in turn and print ratios."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2.0)
    given = options.parse_args()
    figures, generator = Figures(print), Generator(shutil.which("wrk"))
    with tempfile.TemporaryDirectory(prefix="imgserve-rules-") as place, contextlib.ExitStack() as stack:
        originals = Path(place, "originals")
        originals.mkdir()
        (originals / "one.jpg").write_bytes(drawn(1, 600, 450))
        settle(originals / "one.jpg")
        programs, kinds = {}, {}
        for kind, settings in _SETTINGS.items():
            Path(place, kind).mkdir()
            programs[kind] = stack.enter_context(imgserve_as_shipped(originals, Path(place, kind), settings))
            headers = {"referer": "https://www.shop.example/"}
            path = signed_url(_SECRET, _PATH) if settings else _PATH
            kinds[kind] = RepeatedRequest(programs[kind].address, path, headers=headers)
            for _ in range(3):
                fetch(programs[kind].address, path, **headers).expect(200)
        fetch(programs["all"].address, _PATH, referer="https://www.shop.example/").expect(403)
        rates: dict[str, list[float]] = {kind: [] for kind in kinds}
        costs: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(given.rounds):
            for kind, repeated in kinds.items():
                before = programs[kind].processor_seconds()
                done = generator.run(repeated, _CONNECTIONS, given.seconds)
                rates[kind].append(done.rate)
                costs[kind].append((programs[kind].processor_seconds() - before) / done.answers * 1e6)
    for kind in kinds:
        figures.add(f"hits, rules: {kind}", "answers/s", rates[kind])
        figures.add(f"processor time of a hit, rules: {kind}", "us", costs[kind])
    figures.add("hits, all rules / none", "ratio", ratios(rates["all"], rates["none"]), at_least(0.9))
    figures.add("the same by processor time", "ratio", ratios(costs["none"], costs["all"]), at_least(0.9))


if __name__ == "__main__":
    main()
