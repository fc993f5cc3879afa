"""The whole server keeps to its own document, whatever it is asked."""

from pathlib import Path

from tests.fuzzing import fuzz
from tests.pictures import encoded, noise, quarters
from tests.servers import Server, server, settled

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


def _shown(site: Server) -> list[str]:
    site.wait_for("New key")
    return [line.strip().rpartition("=")[2] for line in site.lines if "img_" in line]


def test_the_first_start_shows_a_key_once_that_opens_the_api_from_then_on(tmp_path: Path) -> None:
    folder = tmp_path / "originals"
    settled(folder / "a.png", encoded(quarters(), "png"))
    with server(folder, "--workers", 2) as site:
        (key,) = _shown(site)
        assert site.get("/api/stats", authorization=f"Bearer {key}").status_code == 200
        assert site.get("/api/stats").status_code == 401
        assert site.get("/img/.imgserve/admin-key").status_code == 404
    assert key not in (folder / ".imgserve/admin-key").read_text()
    with server(folder) as site:
        assert site.get("/api/stats", x_api_key=key).status_code == 200
        assert _shown(site) == []


def test_the_api_stands_before_pictures_without_a_prefix(tmp_path: Path) -> None:
    folder = tmp_path / "originals"
    settled(folder / "a.png", encoded(quarters(), "png"))
    with server(folder, env={"IMGSERVE_URLS__PREFIX": "/", "IMGSERVE_ACCESS__ADMIN_KEY": KEY}) as site:
        assert site.get("/a.png?width=9").headers["content-type"] == "image/png"
        refused = site.get("/api/images/a.png")
        assert (refused.status_code, refused.headers["cache-control"]) == (401, "no-store")
        assert site.get("/api/images", x_api_key=KEY).status_code == 200


def test_without_a_usable_data_folder_pictures_are_served_and_the_api_reports_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "originals"
    settled(folder / "a.png", encoded(quarters(), "png"))
    (folder / ".imgserve").touch()
    with server(folder, env={"XDG_DATA_HOME": "/proc/none"}) as site:
        refused = site.get("/api/stats", authorization=f"Bearer {KEY}")
        assert (refused.status_code, refused.headers["cache-control"]) == (503, "no-store")
        assert "the data folder cannot be used" in refused.json()["detail"]
        ready = site.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["parts"]["api"].startswith("degraded: the data folder cannot be used")
        assert site.get("/img/a.png?width=9").status_code == 200
    assert len([line for line in site.lines if "the API is closed" in line]) == 1
