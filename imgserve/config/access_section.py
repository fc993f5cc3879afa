"""The section about who may use the API."""

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from imgserve.config.values import Section, stated

_EXPECTED_KEY = (
    "expected at least 16 visible ASCII characters, or sha256: and 64 hexadecimal digits; it is not shown here"
)
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")
_KEY = re.compile(r"[\x21-\x7e]{16,500}")


def _key(secret: SecretStr) -> SecretStr:
    """Check a key without repeating it."""
    text = secret.get_secret_value()
    if text and not (_DIGEST.fullmatch(text) if text.startswith("sha256:") else _KEY.fullmatch(text)):
        raise stated(_EXPECTED_KEY)
    return secret


class AccessConfig(Section):
    """Who may use the API."""

    admin_key: Annotated[SecretStr, AfterValidator(_key)] = SecretStr("")
    """Key of the API, or sha256: and its SHA-256 in hexadecimal; empty for one made and shown at first start."""
