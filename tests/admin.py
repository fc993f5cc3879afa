"""The admin page over a folder of pictures: what tests store there, and what people do there."""

import zlib
from collections.abc import Callable
from urllib.parse import quote

import pyvips
from playwright.sync_api import Page

from tests.management import Api
from tests.pictures import encoded

Open = Callable[..., Page]


def picture(number: int, name: str = "png") -> bytes:
    """Return a picture that looks like no other one."""
    image = pyvips.Image.gaussnoise(40, 30, mean=128, sigma=60, seed=number).cast("uchar")
    return encoded(image.copy(interpretation="b-w"), name)


def put(api: Api, *ids: str) -> None:
    """Store pictures under ids, each with its own bytes."""
    for image_id in ids:
        data = picture(zlib.crc32(image_id.encode()) % 2**31, image_id.rpartition(".")[2])
        answer = api.ask("PUT", f"/api/images/{quote(image_id)}", content=data)
        assert answer.status_code == 201, answer.text


def ids_below(api: Api, prefix: str) -> list[str]:
    """List the ids of images with a prefix, in order."""
    return api.ids(f"?sort=id&prefix={quote(prefix)}")


def confirm(page: Page, label: str) -> None:
    """Answer the question of a page."""
    page.locator("#confirm").get_by_role("button", name=label, exact=True).click()
