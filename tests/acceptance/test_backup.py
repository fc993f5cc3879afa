"""A backup of a running server is a server again, with everything that people and programs have stored."""

import contextlib
import itertools
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.management import KEY, Api
from tests.pictures import encoded, quarters
from tests.servers import server, settled, until

SCRIPT = Path(__file__).parents[2] / "deploy" / "backup.sh"
ADMIN = {"IMGSERVE_ACCESS__ADMIN_KEY": KEY, "IMGSERVE_ORIGINALS__WATCH": "true"}
WRITTEN = {"title": "A red shoe", "tags": ["red"], "metadata": {"sku": "X-1"}, "focal_point": {"x": 0.25, "y": 0.75}}
TARGET = "/img/shoe.png?width=20&height=20&fit=crop"


@pytest.mark.parametrize("beside", [True, False], ids=["data folder apart", "data folder in the originals"])
def test_a_backup_of_a_running_server_is_restored_with_records_and_keys(tmp_path: Path, *, beside: bool) -> None:
    photos, target = tmp_path / "photos", tmp_path / "backup"
    data = tmp_path / "data" if beside else photos / ".imgserve"
    settled(photos / "shoe.png", encoded(quarters(80, 60), "png"))
    settled(photos / "busy.png", encoded(quarters(40, 40), "png"))
    settled(photos / "gone.png", encoded(quarters(30, 30), "png"))
    options = ["--data", data] if beside else []
    with server(photos, *options, env=ADMIN) as running:
        api = Api(running)
        until(lambda: all(api.found(f"{name}.png") for name in ("shoe", "busy", "gone")))
        assert api.ask("PATCH", "/api/images/shoe.png", json=WRITTEN).status_code == 200
        assert api.ask("DELETE", "/api/images/gone.png").status_code == 200
        made = api.ask("POST", "/api/keys", json={"name": "reader", "scopes": ["read"]}).json()
        picture, record, stop = running.get(TARGET), api.record("shoe.png"), threading.Event()

        def write() -> None:
            for number in itertools.takewhile(lambda _: not stop.is_set(), itertools.count()):
                api.ask("PATCH", "/api/images/busy.png", json={"title": str(number)})

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(2):  # the second one replaces the first
                subprocess.run(
                    [SCRIPT, photos, data, target], check=True, env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
                )
        finally:
            stop.set()
            writer.join()
    assert sqlite3.connect(target / "data/catalog.sqlite").execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert not list(target.rglob("catalog.sqlite-*"))
    with server(target / "originals", "--data", target / "data", env=ADMIN) as restored:
        api = Api(restored)
        again = restored.get(TARGET)
        assert (again.content, again.headers["etag"]) == (picture.content, picture.headers["etag"])
        assert api.record("shoe.png") == record
        assert api.record("busy.png")["title"].isdecimal()
        listed = restored.get("/api/images", authorization=f"Bearer {made['key']}")
        assert [image["id"] for image in listed.json()["images"]].count("shoe.png") == 1
        assert restored.ask("DELETE", "/api/images/shoe.png", authorization=f"Bearer {made['key']}").status_code == 403
        (item,) = api.get("/api/trash")["items"]
        assert api.ask("POST", f"/api/trash/{item['item']}/restore").status_code in {200, 201}
        assert restored.get("/img/gone.png").status_code == 200


def test_the_log_names_what_to_do_with_a_catalog_of_before_the_first_release(tmp_path: Path) -> None:
    photos, data = tmp_path / "photos", tmp_path / "data"
    settled(photos / "shoe.png", encoded(quarters(80, 60), "png"))
    data.mkdir()
    with contextlib.closing(sqlite3.connect(data / "catalog.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('0009')")
    with server(photos, "--data", data, env=ADMIN) as running:
        assert "Open it once with the commit" in running.wait_for("before the first release")
        assert running.get("/img/shoe.png?width=20").status_code == 200
