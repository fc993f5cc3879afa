"""The page about the API."""

import re

import pytest
from starlette.applications import Starlette

from imgserve.access.admin_key import KeyFileUnusableError
from imgserve.access.keys import Scope
from imgserve.web.api.docs import ApiDocument
from imgserve.web.api.endpoint import endpoint, endpoints_of
from imgserve.web.pages import static_folder
from tests.access_rig import access_of
from tests.api_frame import Echo, Things, asked

pytestmark = pytest.mark.anyio


class Hostile:
    @endpoint("GET", "/api/<b>/{image_id}", Scope.READ, "<script>", tag="<i>")
    async def get(self, image_id: str) -> Echo:
        """Return `<img src=x>` & "more"."""
        raise NotImplementedError(image_id)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def page_of(part: object) -> Starlette:
    document = ApiDocument(endpoints_of(part), static_folder(), prefix="/img", version="1")
    return Starlette(routes=document.routes(access_of(KeyFileUnusableError()), "everyone"))


async def test_the_page_needs_no_key_and_runs_no_script() -> None:
    answer = await asked(page_of(Things()), "GET", "/docs/api", headers={})
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "style=" not in answer.text
    for part in (
        "/api/<wbr>wish/<wbr>{image_<wbr>id}",
        "Wish something.",
        "curl -X POST",
        "idempotency_<wbr>conflict",
    ):
        assert part in answer.text
    assert "$" not in answer.text.replace("$IMGSERVE_KEY", "")


async def test_everything_on_the_page_is_escaped() -> None:
    text = (await asked(page_of(Hostile()), "GET", "/docs/api", headers={})).text
    for hostile in ("<script>", "<i>", "<img src=x>", "<b>/", "Tell `"):
        assert hostile not in text
    assert "<code>&lt;img src=x&gt;</code> &amp; &#34;more&#34;" in text


async def test_every_link_of_the_page_leads_somewhere() -> None:
    text = (await asked(page_of(Things()), "GET", "/docs/api", headers={})).text
    targets = {part.partition('"')[0] for part in text.split('href="#')[1:]}
    assert targets
    assert {target for target in targets if f'id="{target}"' not in text} == set()


async def test_the_page_takes_its_style_from_files() -> None:
    page = (static_folder() / "api.html").read_text()
    for part in page.split('href="/static/')[1:]:
        assert (static_folder() / part.partition('"')[0].partition("?")[0]).is_file()


async def test_examples_have_the_address_that_the_client_used() -> None:
    text = (await asked(page_of(Things()), "GET", "/docs/api", headers={"host": "img.example.org:8443"})).text
    assert "http://img.example.org:8443/api/wish/" in text
    assert "curl -o picture &#39;http://img.example.org:8443/img/shoes/red.jpg?width=400&amp;auto=format&#39;" in text
    assert "images.example.com" not in text


async def test_areas_that_scroll_can_be_reached_by_keyboard_and_have_a_name() -> None:
    text = (await asked(page_of(Things()), "GET", "/docs/api", headers={})).text
    areas = re.findall(r'<(?:pre|div class="wide")[^>]*>', text)
    assert areas
    assert {area for area in areas if 'tabindex="0" role="group" aria-label="' not in area} == set()
