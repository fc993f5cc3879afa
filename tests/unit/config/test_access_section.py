import hashlib

import pytest

from imgserve.config import Config
from imgserve.config.sections import AccessConfig
from imgserve.config.table import example
from imgserve.errors import ConfigError

KEY = "img_0123456789abcdef"


@pytest.mark.parametrize("key", [KEY, "x" * 16, f"sha256:{hashlib.sha256(b'x').hexdigest()}", ""])
def test_a_key_or_its_hash_is_accepted_and_never_shown(key: str) -> None:
    config = Config.load(environ={"IMGSERVE_ACCESS__ADMIN_KEY": key})
    assert config.access.admin_key.get_secret_value() == key
    assert not key or key not in repr(config)
    assert not key or key not in str(config.model_dump())


@pytest.mark.parametrize("key", ["short", "sixteen letters and blanks", "sha256:abc", "ümlaut-of-sixteen-letters"])
def test_a_key_that_is_none_is_refused_without_being_repeated(key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.load(environ={"IMGSERVE_ACCESS__ADMIN_KEY": key})
    assert key not in str(refused.value)
    assert "at least 16 visible ASCII characters" in str(refused.value)


def test_no_key_is_the_default() -> None:
    assert not AccessConfig().admin_key.get_secret_value()
    assert "#admin_key: ''\n" in example(Config)
