"""The whole server keeps to its own document, whatever it is asked."""

from pathlib import Path

from tests.fuzzing import fuzz
from tests.pictures import encoded, noise, quarters
from tests.servers import server, settled

KEY = "img_a-key-for-tests"


def test_every_answer_is_as_the_document_says(tmp_path: Path) -> None:
    folder, told = tmp_path / "originals", tmp_path / "told"
    told.mkdir()
    for number, name in enumerate(("shoes/red.jpg", "a", "b/c d.png", "0")):
        settled(folder / name, encoded(quarters(40 + number, 30), "png"))
    settled(folder / "broken.jpg", b"\xff\xd8\xff no picture")
    settled(folder / "noise.jpg", encoded(noise(), "jpg"))
    with server(folder, env={"IMGSERVE_ACCESS__ADMIN_KEY": KEY}) as site:
        fuzz(site.base_url, KEY, told)
        assert site.get("/healthz").status_code == 200
        assert site.get("/openapi.json").json()["info"]["version"]
        assert not [line for line in site.lines if "Traceback" in line]
