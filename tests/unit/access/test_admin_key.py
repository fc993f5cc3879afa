"""The admin key, and what happens when its file is replaced."""

from pathlib import Path

import pytest

from imgserve.access.access import ImageRequest
from imgserve.access.admin_key import create_key, key_file, read_digest
from imgserve.access.sites import Rules, Site, Sites
from imgserve.images.settings import QuerySettings
from tests.access_rig import access_of

pytestmark = pytest.mark.anyio
KEYED = Sites(Site("", Rules(QuerySettings(), QuerySettings(), require="key")))


async def test_a_replaced_admin_key_opens_no_cached_picture(tmp_path: Path) -> None:
    key, path = create_key(tmp_path), key_file(tmp_path)
    assert key is not None
    access = access_of(read_digest(path), sites=KEYED, replaced_in=path)
    fields = {b"x-api-key": key.encode()}
    grant = await access.check_image(ImageRequest(fields, "a.png", b"/img/a.png", b"", key))
    assert grant.guard is not None
    assert grant.guard(fields)
    create_key(tmp_path, replace=True)
    assert not grant.guard(fields)
