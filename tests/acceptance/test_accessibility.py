"""Every page that people see, checked by axe in a real Chromium: three widths, light and dark."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, StorageState, expect

from tests import image_host
from tests.browser import People, session_state, setup_path, staffed
from tests.pictures import encoded, noise
from tests.servers import settled, until

PUBLIC = ("/", "/docs/api", "/docs/parameters", "/docs/errors", "/admin/login")
LEAST_ADMIN_PAGES = 10
WIDTHS = (375, 768, 1360)
WIDE = "document.documentElement.scrollWidth - innerWidth"
SHORTENED = "document.querySelectorAll('section article:nth-of-type(n+3)').forEach(one => one.remove())"
BAD = """<!doctype html><html lang=en><title>Bad</title><meta name=color-scheme content="light dark"><main><h1>Bad</h1>
<style>@media (prefers-color-scheme: dark) { p { color: #333; background: #222 } }</style><p>Dim</p><img src="data:,">
<div style="width: 400px; height: 1px"></div><div style="overflow: auto">
<pre>long text, long text, long text, long text, long text</pre></div></main>"""
AXE = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}  # the latter is of WCAG 2.2


@dataclass(frozen=True)
class Visited:
    """A server, a session of an admin on it, and the pages to look at."""

    base_url: str
    session: StorageState
    public: tuple[str, ...]
    admin: tuple[str, ...]


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Visited]:
    folder = tmp_path_factory.mktemp("originals")
    for name in ("one.jpg", "red shoes/two.png", "red shoes/three.jpg"):
        settled(folder / name, encoded(noise(400, 300), name.rpartition(".")[2]))
    settled(folder / "zz/broken.png", encoded(noise(400, 300), "png")[:3000])
    files = {"/a.jpg": encoded(noise(40, 30), "jpg")}
    with image_host.serving(files) as host, staffed(folder, env=image_host.settings(host)) as api:
        until(lambda: len(api.every_id()) == 3)
        table = f"SKU,Image URL\nA-1,{host}/a.jpg\nA-1,{host}/gone.jpg\nB,{host}/gone.jpg\n"
        api.ask("POST", "/api/imports?webhook=http://10.0.0.1/", content=table)
        until(lambda: api.get("/api/imports")["imports"][0]["state"] == "finished")
        session = session_state(api.served.base_url, "admin")
        person = chromium.new_context(storage_state=session)
        found = _pages(person.new_page(), api.served.base_url)
        person.close()
        yield Visited(api.served.base_url, session, (*PUBLIC, setup_path(folder)), found)


def _pages(page: Page, base_url: str) -> tuple[str, ...]:
    """Return the paths of all pages that navigation leads to, of all tabs on these, of an image and an import."""
    left, found = ["/admin/"], list[str]()
    while left:
        path = left.pop(0)
        found.append(path)
        page.goto(base_url + path)
        links = page.locator("nav a").evaluate_all("all => all.map(link => new URL(link.href).pathname)")
        for kind in ("/admin/images/", "/admin/imports/"):
            if not any(one.startswith(kind) for one in (*found, *left)):
                links += page.locator(f"main a[href*='{kind}']").evaluate_all(
                    "all => all.map(link => new URL(link.href).pathname).slice(0, 1)"
                )
        left += [one for one in dict.fromkeys(links) if one.startswith("/admin/") and one not in (*found, *left)]
    return tuple(found)


def _findings(page: Page, url: str) -> list[str]:
    """Return what axe and the layout of a page violate at three widths; dark colors are checked at the outer two.

    The page is loaded once. The reference of the API is checked whole at the first width; then a few operations of each
    group stand for the others.
    """
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    page.goto(url)
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    page.evaluate(AXE_SCRIPT)
    found = list[str]()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        if (wider := page.evaluate(WIDE)) > 0:
            found.append(f"{width} pixels: content is {wider} wider")
        if width == WIDTHS[0]:
            found += _violations(page, f"{width} pixels", {"rules": {"color-contrast": {"enabled": False}}})
            page.evaluate(SHORTENED)
        found += _violations(page, f"{width} pixels", {"runOnly": ["color-contrast"]} if width == WIDTHS[0] else {})
    page.emulate_media(color_scheme="dark")
    for width in (WIDTHS[-1], WIDTHS[0]):
        page.set_viewport_size({"width": width, "height": 900})
        found += _violations(page, f"{width} pixels, dark", {"runOnly": ["color-contrast"]})
    page.emulate_media(color_scheme="light")
    return list(dict.fromkeys(found))


def _violations(page: Page, where: str, options: dict[str, object]) -> list[str]:
    violations = page.evaluate("options => axe.run(document, options)", {**AXE, **options})["violations"]
    return [f"{where}: {one['id']}: {node['html'][:200]}" for one in violations for node in one["nodes"]]


def test_navigation_leads_to_every_kind_of_page(visited: Visited) -> None:
    assert len(visited.admin) >= LEAST_ADMIN_PAGES
    assert {"/admin/", "/admin/playground", "/admin/access/accounts", "/admin/account"} <= set(visited.admin)
    assert any(path.startswith("/admin/imports/") for path in visited.admin)


# Each looks at all of its pages, which takes longer than other tests, but needs one server and one browser. Without
# motion, colors have no transition when the theme changes.
def test_public_pages_are_accessible_and_fit(visited: Visited, people: People) -> None:
    page = people.open(reduced_motion="reduce")
    findings = {path: _findings(page, visited.base_url + path) for path in visited.public}
    assert {path: found for path, found in findings.items() if found} == {}


def test_admin_pages_are_accessible_and_fit(visited: Visited, people: People) -> None:
    page = people.open(storage_state=visited.session, reduced_motion="reduce")
    findings = {path: _findings(page, visited.base_url + path) for path in visited.admin}
    assert {path: found for path, found in findings.items() if found} == {}


def test_what_is_not_accessible_or_too_wide_is_found(visited: Visited, people: People) -> None:
    page = people.open(reduced_motion="reduce")
    page.route("**/bad", lambda route: route.fulfill(body=BAD, content_type="text/html"))
    findings = "\n".join(_findings(page, f"{visited.base_url}/bad"))
    for one in (
        "375 pixels: content is",
        "image-alt",
        "375 pixels: scrollable-region-focusable",
        "dark: color-contrast",
    ):
        assert one in findings
