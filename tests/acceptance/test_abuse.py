"""What operators learn about rejected requests, and that no log contains a secret."""

import json
import re
import sqlite3
from pathlib import Path

import pytest

from imgserve.client.api import Imgserve
from imgserve.transform import signed_url
from tests.pictures import encoded, noise
from tests.servers import server, settled, until

SIGNING = "a-secret-of-signatures-for-tests"
KEY = "img_a-key-for-tests"


@pytest.mark.parametrize("style", ["text", "json"])
def test_rejections_are_logged_and_counted_and_secrets_are_in_no_log(tmp_path: Path, style: str) -> None:
    originals, log = tmp_path / "photos", tmp_path / "access.log"
    originals.mkdir()
    settled(originals / "a.jpg", encoded(noise(60, 40), "jpg"))
    env = {
        "IMGSERVE_SIGNING__SECRETS": SIGNING,
        "IMGSERVE_RULES__REQUIRE": "either",
        "IMGSERVE_RULES__KEY_IN_URL": "true",
        "IMGSERVE_ACCESS__ADMIN_KEY": KEY,
        "IMGSERVE_LOG__ACCESS": str(log),
        "IMGSERVE_LOG__ACCESS_STYLE": style,
    }
    signed = signed_url(SIGNING, "/img/a.jpg?width=20")
    signature = re.findall("[0-9a-f]{64}", signed)[0]
    wrong = "0" * 64
    with server(originals, "--data", tmp_path / "data", env=env) as served:
        referer = f"https://shop.example/page?key={KEY}&s={signature}"
        for _ in range(3):  # the second and third come from the hot path
            assert served.get(signed, referer=referer).status_code == 200
            assert served.get(f"/img/a.jpg?width=20&key={KEY}").status_code == 200
        assert served.figure("imgserve_requests_total", outcome="memory") >= 4
        rejected = served.get(f"/img/a.jpg?width=20&s={wrong}", referer=referer)
        assert (rejected.status_code, rejected.json()["code"]) == (403, "bad_signature")
        assert served.get("/api/images", x_api_key="img_a-key-that-is-not-valid").status_code == 401
        assert served.ask("GET", "/api/usage?by=referrer", x_api_key=KEY).json() == {"subjects": []}
        assert served.get("/api/usage").status_code == 401
        assert served.get("/system-check").status_code == 401
        with Imgserve(served.base_url, key=KEY) as client:
            limited = client.create_key("shop", ["read"])
        # Keys that are unknown here are looked up ten times a second.
        until(lambda: served.get("/system-check", x_api_key=limited.key or "").status_code == 403)
        denied = json.loads(served.wait_for('"code":"forbidden"'))
        assert (denied["key_id"], denied["path"]) == (limited.key_id, "/system-check")
        checked = served.get("/system-check", x_api_key=KEY)
        assert checked.headers["cache-control"] == "no-store"
        (short,) = [one for one in checked.json()["checks"] if one["name"] == "secrets"]
        assert (checked.json()["status"], short["state"]) == ("problems", "problem")
        assert short["found"] == "shorter than 32 characters: access.admin_key"
        line = served.wait_for('"code":"unauthorized"')
        assert json.loads(line)["path"] == "/api/images"
        entry = json.loads(served.wait_for('"code":"bad_signature"'))
        assert (entry["event"], entry["client"], entry["path"]) == ("rejected", "127.0.0.1", "/img/a.jpg")
        assert entry["request_id"] == rejected.headers["x-request-id"]
        until(lambda: log.exists() and log.read_text().count("\n") >= 11)
    written = log.read_text() + "".join(served.lines)
    assert limited.key
    assert written.count("signature=***") >= 3
    assert written.count("key=***&s=***") >= 4
    assert [
        secret
        for secret in (SIGNING, KEY, limited.key, signature, wrong, "img_a-key-that-is-not-valid")
        if secret in written
    ] == []
    with sqlite3.connect(tmp_path / "data" / "catalog.sqlite") as connection:
        counted = {
            (what, by, subject.decode()): number
            for what, by, subject, number in connection.execute("SELECT what, by, subject, number FROM usage")
        }
    assert counted["cold", "image", "a.jpg"] == 1
    assert counted["bad_signature", "referrer", "shop.example"] == 1
    assert counted["unauthorized", "client", "127.0.0.1"] >= 3
