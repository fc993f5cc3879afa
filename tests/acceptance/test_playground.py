"""The playground of the admin page in a real Chromium: fields, URL, picture, comparison and code."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Locator, Page, StorageState, expect

from imgserve.transform.parameters import PICTURE_GROUPS
from tests.admin import Late
from tests.browser import People, session_state, staffed
from tests.management import Api
from tests.pictures import encoded, noise, opened
from tests.prefork import PATIENCE
from tests.servers import Server, settled, until

CONFIG = """
presets: {card: {width: 50, height: 40, fit: crop}, wide: width=90&aspect=3:1}
signing: {secrets: [0123456789abcdef0123456789abcdef]}
sites:
  press: {folder: press, rules: {require: signature}}
"""
CLIPBOARD = ["clipboard-read", "clipboard-write"]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Serve three pictures, one of which needs a signature, to an admin and a viewer."""
    folder, config = tmp_path_factory.mktemp("originals"), tmp_path_factory.mktemp("config") / "config.yaml"
    for name in ("noise.jpg", "red shoe.png", "press/cup.jpg"):
        settled(folder / name, encoded(noise(400, 300), name.rpartition(".")[2]))
    config.write_text(CONFIG)
    config.chmod(0o600)
    with staffed(folder, "--config", config) as found:
        yield found


@pytest.fixture
def played(api: Api) -> Server:
    return api.served


def open_page(
    played: Server, people: People, session: StorageState, query: str = "image=noise.jpg", **options: object
) -> Page:
    page = people.open(storage_state=session, **options)
    page.goto(f"{played.base_url}/admin/playground?{query}")
    expect(page.locator("#preview")).to_have_attribute("aria-busy", "false")
    return page


@pytest.fixture
def jane(played: Server, people: People, sessions: Mapping[str, StorageState]) -> Page:
    return open_page(played, people, sessions["admin"])


def shows(page: Page, pixels: str, kind: str) -> None:
    """Wait for a picture of a size and format."""
    expect(page.locator("[data-fact=pixels]")).to_have_text(pixels.replace("x", " \N{MULTIPLICATION SIGN} "))
    expect(page.locator("[data-fact=format]")).to_have_text(kind)
    expect(page.locator("#preview")).to_have_attribute("aria-busy", "false")


def field(page: Page, name: str) -> Locator:
    row = page.locator(f"[data-name={name}]")
    row.evaluate("row => row.closest('details').open = true")
    return row.locator("[data-value]")


def test_every_parameter_has_a_labelled_field_in_its_group(jane: Page) -> None:
    found = jane.locator("[data-name]").evaluate_all(
        "all => all.map(row => [row.closest('details').dataset.group, row.dataset.name])"
    )
    assert found == [[group, row.name] for group, rows in PICTURE_GROUPS.items() for row in rows]
    for row in (row for rows in PICTURE_GROUPS.values() for row in rows):
        named = field(jane, row.name)
        label = jane.locator(f"label[for='{named.get_attribute('id')}']")
        assert label.inner_text().split()[0] == row.name
        if row.kind.words and not row.kind.many:
            options = named.locator("option").evaluate_all("all => all.map(one => one.value)")
            assert set(options) == {"", *row.kind.words}


def test_fields_change_picture_url_and_address_which_can_be_shared(
    played: Server, people: People, jane: Page, sessions: Mapping[str, StorageState]
) -> None:
    shows(jane, "400x300", "JPEG")
    field(jane, "width").fill("120")
    field(jane, "format").select_option("webp")
    field(jane, "flip").select_option("h")
    shows(jane, "120x90", "WEBP")
    assert jane.locator("#url").input_value() == f"{played.base_url}/img/noise.jpg?width=120&format=webp&flip=h"
    expect(jane.locator("#code")).to_have_text(f"{played.base_url}/img/noise.jpg?flip=h&format=webp&width=120")
    assert jane.locator("#current").evaluate("image => image.naturalWidth") == 120
    other = open_page(played, people, sessions["admin"], jane.url.partition("?")[2])
    shows(other, "120x90", "WEBP")
    assert field(other, "flip").input_value() == "h"


def test_the_url_is_read_back_into_the_fields(played: Server, jane: Page) -> None:
    url = jane.locator("#url")
    url.fill("https://elsewhere.example/img/red%20shoe.png?w=80&f=fill&ar=1:1&f=webp&s=" + "0" * 64)
    shows(jane, "80x80", "WEBP")
    values = [field(jane, name).input_value() for name in ("width", "fit", "aspect", "format")]
    assert values == ["80", "fill", "1:1", "webp"]
    expect(jane.get_by_label("Image", exact=True)).to_have_value("red shoe.png")
    url.fill(f"{played.base_url}/img/noise.jpg/card")
    shows(jane, "50x40", "JPEG")
    expect(jane.get_by_role("button", name="card", exact=True)).to_have_attribute("aria-pressed", "true")


def test_mistakes_stand_at_their_fields_and_the_old_picture_stays(jane: Page) -> None:
    shows(jane, "400x300", "JPEG")
    before = jane.locator("#current").get_attribute("src")
    jane.locator("#url").fill("/img/noise.jpg?w=0&q=80&widht=3")
    width = field(jane, "width")
    expect(width).to_have_attribute("aria-invalid", "true")
    expect(width).to_have_accessible_description(
        re.compile(r"Mistake: expected an integer 1\.\.8192 .* received \"0\"")
    )
    expect(field(jane, "quality")).not_to_have_attribute("aria-invalid", "true")
    expect(jane.locator("#mistakes")).to_have_text(re.compile("unknown parameter"))
    expect(jane.locator("#verdict")).to_contain_text("2 parameters are not valid")
    assert jane.locator("#current").get_attribute("src") == before
    jane.get_by_role("button", name="Remove widht=3").click()
    width.fill("200")
    shows(jane, "200x150", "JPEG")
    expect(width).not_to_have_attribute("aria-invalid", "true")
    expect(jane.locator("#mistakes")).to_be_empty()


def test_presets_words_sliders_and_chips_work_by_keyboard(jane: Page) -> None:
    jane.get_by_role("button", name="wide").press("Enter")
    shows(jane, "90x30", "JPEG")
    jane.get_by_role("button", name="Remove preset=wide").press("Enter")
    shows(jane, "400x300", "JPEG")
    jane.locator("[data-name=crop]").evaluate("row => row.closest('details').open = true")
    for word in ("left", "top"):
        jane.locator(f"[data-name=crop] [data-word={word}]").press("Space")
    expect(field(jane, "crop")).to_have_value("left,top")
    jane.get_by_role("slider", name="Slide quality").press("End")
    expect(field(jane, "quality")).to_have_value("100")
    jane.get_by_role("button", name="Reset").press("Enter")
    expect(field(jane, "crop")).to_have_value("")
    expect(jane.locator("#chips")).to_be_empty()


def test_an_image_is_found_by_a_part_of_its_name(played: Server, jane: Page) -> None:
    until(lambda: jane.request.get(f"{played.base_url}/api/images?q=sho").json()["images"])
    search = jane.get_by_label("Image", exact=True)
    search.fill("sho")
    expect(jane.locator("#images option")).to_have_count(1)
    expect(jane.locator("#images option")).to_have_attribute("value", "red shoe.png")
    search.fill("red shoe.png")
    shows(jane, "400x300", "PNG")


def test_before_and_after_are_compared_with_a_slider(jane: Page) -> None:
    field(jane, "width").fill("100")
    field(jane, "quality").fill("5")
    shows(jane, "100x75", "JPEG")
    jane.get_by_label("Compare with").select_option("plain")
    slider, before = jane.get_by_role("slider", name="Before and after"), jane.locator("#before")
    expect(before).to_be_visible()
    expect(before).to_have_js_property("naturalWidth", 100)
    slider.press("Home")
    assert "100%" in before.evaluate("image => getComputedStyle(image).clipPath")
    slider.press("End")
    assert before.evaluate("image => getComputedStyle(image).clipPath") in {"inset(0px)", "inset(0px 0% 0px 0px)"}
    kept = jane.locator("#current").get_attribute("src")
    jane.get_by_role("button", name="Keep this version").click()
    field(jane, "quality").fill("90")
    expect(jane.locator("#current")).not_to_have_attribute("src", kept or "")
    expect(before).to_have_attribute("src", kept or "")


def test_the_version_that_was_chosen_last_is_compared(jane: Page) -> None:
    shows(jane, "400x300", "JPEG")
    kept = jane.locator("#current").get_attribute("src")
    late = Late(jane, "**/api/preview/**", times=1)
    jane.get_by_label("Compare with").select_option("plain")
    late.wait()
    jane.get_by_label("Compare with").select_option("first")
    late.arrive()
    expect(jane.locator("#before")).to_have_attribute("src", kept or "")
    Late(jane, "**/api/preview/**", times=1)
    jane.get_by_label("Compare with").select_option("plain")
    field(jane, "width").fill("100")
    shows(jane, "100x75", "JPEG")
    expect(jane.locator("#before")).to_have_js_property("naturalWidth", 100)
    expect(jane.locator(".toast")).to_have_count(0)


def test_formats_and_qualities_are_compared_with_bytes_and_similarity(jane: Page) -> None:
    field(jane, "width").fill("90")
    shows(jane, "90x68", "JPEG")
    jane.get_by_role("button", name="Compare", exact=True).click()
    cells = jane.locator("#grid tbody td")
    expect(cells).to_have_count(12)
    expect(jane.get_by_role("button", name="Compare", exact=True)).not_to_have_attribute("aria-busy", "true")
    texts = cells.evaluate_all("all => all.map(cell => cell.innerText)")
    for column in range(3):
        measured = [re.search(r"similarity ([\d.]+)", text) for text in texts[column::3]]
        alike = [float(one[1]) for one in measured if one]
        assert len(alike) == 4
        assert alike == sorted(alike)
        assert 0 < alike[0] < alike[-1] <= 1
    jane.get_by_role("button", name="Use avif in quality 50").click()
    shows(jane, "90x68", "AVIF")
    assert field(jane, "quality").input_value() == "50"


def test_equal_pictures_have_the_similarity_one_and_others_less(jane: Page) -> None:
    measure = """async ([one, other]) => {
        const src = document.querySelector("script[src$='playground.js']").src.replace("playground", "similarity");
        return (await import(src)).similarity(one, other, 16, 12);
    }"""
    ramp = [(31 * index) % 256 for index in range(192)]
    for other, expected in ((ramp, 1.0), ([255 - value for value in ramp], -1.0), ([0] * 192, 0.0)):
        assert jane.evaluate(measure, [ramp, other]) == pytest.approx(expected, abs=0.2 if expected else 0.05)
    assert jane.evaluate(measure, [ramp, ramp]) == pytest.approx(1, abs=1e-9)


def test_code_is_copied_from_tabs(played: Server, people: People, sessions: Mapping[str, StorageState]) -> None:
    jane = open_page(played, people, sessions["admin"], "image=noise.jpg&width=60", permissions=CLIPBOARD)
    tab = jane.get_by_role("tab", name="URL", exact=True)
    tab.focus()
    starts = {"Signed URL": f"{played.base_url}/img/noise.jpg?width=60&signature=", "<img srcset>": "<img ",
              "<picture>": "<picture>\n<source", "CSS": ".picture {", "Markdown": "![noise](", "curl": "curl -o",
              "Python": "from imgserve.client"}  # fmt: skip
    for name, start in starts.items():
        jane.keyboard.press("ArrowRight")
        expect(jane.get_by_role("tab", name=name, exact=True)).to_be_focused()
        jane.locator("#copy").click()
        copied = jane.evaluate("navigator.clipboard.readText()")
        assert copied.startswith(start), copied
        assert f"{played.base_url}/img/noise.jpg" in copied.replace("('", "").replace("img')", "img/noise.jpg")
        jane.get_by_role("tab", name=name, exact=True).focus()


def test_a_picture_that_is_not_public_is_shown_and_signed_for_those_who_may(
    played: Server, people: People, sessions: Mapping[str, StorageState]
) -> None:
    jane, vera = (
        open_page(played, people, sessions[name], "image=press/cup.jpg&width=60") for name in ("admin", "viewer")
    )
    for page in (jane, vera):
        shows(page, "60x45", "JPEG")
        expect(page.locator("#verdict")).to_contain_text("Not public: This picture needs a signed URL.")
        page.get_by_role("tab", name="Signed URL").click()
    expect(vera.locator("#code")).to_have_text("Only people with the scope manage may sign.")
    jane.get_by_label("The signed URL ends").select_option("3600")
    expect(jane.locator("#code")).to_have_text(re.compile(r"expires=\d{10}&signature=[0-9a-f]{64}$"))
    signed = jane.locator("#code").inner_text()
    assert opened(httpx2.get(signed, timeout=PATIENCE).content).width == 60
    assert httpx2.get(signed.partition("&expires")[0], timeout=PATIENCE).status_code == 403


def test_parameters_are_filtered(jane: Page) -> None:
    jane.get_by_label("Filter parameters").fill("gain map")
    expect(jane.locator("[data-name]:visible")).to_have_count(1)
    jane.get_by_label("Filter parameters").fill("nonsense")
    expect(jane.get_by_text("No parameter matches.")).to_be_visible()
    jane.get_by_label("Filter parameters").fill("")
    field(jane, "width").fill("70")
    jane.get_by_label("Changed only").check()
    assert jane.locator("[data-name]:visible").evaluate_all("all => all.map(row => row.dataset.name)") == ["width"]


def test_without_images_the_page_says_what_to_do(tmp_path: Path, people: People) -> None:
    folder = tmp_path / "originals"
    folder.mkdir()
    with staffed(folder) as api:
        page = people.open(storage_state=session_state(api.served.base_url, "admin"))
        page.goto(f"{api.served.base_url}/admin/playground")
        expect(page.get_by_text("No image to play with yet")).to_be_visible()
