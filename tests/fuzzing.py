"""Asks a running server whatever its OpenAPI document allows, and what it does not, by schemathesis."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2

PATIENCE = 300.0
_ACCEPTED = ["2xx", "401", "403", "404", "409"]
"""What valid requests may be answered with: what is asked for need not be there, or may be there already."""
_OF_EARLIER = {"cursor": "400", "If-Match": "412", "Idempotency-Key": "422"}
"""What is valid only if this server gave it, as it is now, or if no other request came with it."""
_PICTURES = ["400", "413", "415", "422"]
"""What is sent has to be a picture, one of which the query says nothing that the body could say."""
_LANGUAGE = ["400", "415", "422"]
"""Parameters of pictures are a language of their own, and not every original can be drawn."""
_BEYOND = {
    "POST /api/images": _PICTURES,
    "PUT /api/images/{image_id}": [*_PICTURES, "412"],
    "POST /api/accounts": ["400"],  # a password that is the name
    "POST /api/keys": ["400"],  # presets and sites that there are not, a time that is over
    "POST /api/move": ["400"],  # what no image id can be
    "POST /api/move/{image_id}": ["400"],
    "POST /api/purge": ["400"],  # a preset that there is not
    "POST /api/presets": ["400"],  # what no preset can be called, or what it cannot say
    "PUT /api/presets/{name}": ["400", "412"],
    "POST /api/imports": ["400", "422"],  # what is no table, parameters of pictures, or no URL
    "POST /api/imports/analyze": ["400"],
    "GET /api/imports/{job}/zip": ["400"],  # a preset that there is not
    "GET /api/imports/{job}/products/{product}/zip": ["400"],
    "GET /img/{image_id}": [*_LANGUAGE, "206", "304", "412", "413", "416"],
    "GET /api/convert/{ext}/{image_id}": _LANGUAGE,
    "POST /api/transform/{image_id}": _LANGUAGE,
    "POST /api/transform": _LANGUAGE,
    "POST /api/warm": _LANGUAGE,
}
"""By what no schema can say."""
_REFUSED = ["400", "401", "403", "404", "406", "412", "413", "415", "422", "428", "5xx"]
"""What invalid requests are answered with: a body may be too large before its mistake is read."""


def fuzz(base_url: str, key: str, folder: Path, *, examples: int = 5) -> None:
    """Send the same requests with the admin key; an answer that its document does not allow is an AssertionError.

    All checks of schemathesis are made. `folder` takes what it writes.
    """
    document = httpx2.get(f"{base_url}/openapi.json").json()
    settings = folder / "schemathesis.toml"
    settings.write_text(_settings(document), encoding="utf-8")
    command = [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", settings, "run", f"{base_url}/openapi.json"),
        *("--header", f"Authorization: Bearer {key}"),
        # Otherwise some requests have a generated key in addition, and two different keys are a mistake.
        *("--header", f"X-API-Key: {key}"),
        *("--checks", "all", "--max-examples", examples, "--generation-deterministic", "--no-color"),
    ]
    done = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, _told(done.stdout + done.stderr)


def _settings(document: dict[str, Any]) -> str:
    """Say of single operations what a document cannot: which valid requests are refused by what was asked before."""
    told = [f"[checks.negative_data_rejection]\nexpected-statuses = {json.dumps(_REFUSED)}\n"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            named = {one["name"] for one in operation.get("parameters", [])}
            called = f"{method.upper()} {path}"
            more = [status for name, status in _OF_EARLIER.items() if name in named] + _BEYOND.get(called, [])
            if more:
                told.append(
                    f"[[operations]]\ninclude-name = {json.dumps(called)}\n"
                    f"checks.positive_data_acceptance.expected-statuses = {json.dumps(_ACCEPTED + more)}\n"
                )
    return "\n".join(told)


def _told(output: str) -> str:
    """Shorten lines: a hostile request may be long."""
    return "\n".join(line[:1000] for line in output.splitlines())
