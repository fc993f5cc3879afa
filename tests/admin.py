"""The admin page over a folder of pictures: what tests store there, what people do there, and what arrives late."""

import zlib
from collections.abc import Callable
from urllib.parse import quote

import pyvips
from playwright.sync_api import APIResponse, Page, Route

from tests.management import Api
from tests.pictures import encoded
from tests.servers import until

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


class Late:
    """Responses to a page that are there, and reach it when they are let through."""

    def __init__(self, page: Page, url: str, times: int | None = None) -> None:
        """Hold responses back; by default all."""
        self._page = page
        self._held = list[tuple[Route, APIResponse]]()
        page.route(url, lambda route: self._held.append((route, route.fetch())), times=times)

    def wait(self, number: int = 1) -> None:
        """Wait until as many responses are held."""
        until(lambda: self._page.evaluate("0") == 0 and len(self._held) >= number)

    def arrive(self) -> None:
        """Let the oldest response through, once it is there, and wait until the page has handled it."""
        self.wait()
        route, response = self._held.pop(0)
        with self._page.expect_event("requestfinished", lambda request: request == route.request):
            route.fulfill(response=response)
        self._page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
