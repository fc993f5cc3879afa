"""Client hints over the wire: who sends other hints never receives a cached picture of somebody else."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.management import Api, managed
from tests.pictures import encoded, noise, opened
from tests.servers import settled

CONFIG = """
urls: {client_hints: [dpr, save-data, width]}
sites:
  few: {folder: few, rules: {presets_only: true}}
  listed: {folder: listed, rules: {sizes: [100, 150], reject_unlisted: true}}
  rated: {folder: rated, rules: {qualities: [80]}}
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder, config = tmp_path_factory.mktemp("originals"), tmp_path_factory.mktemp("config") / "config.yaml"
    for name in ("a.jpg", "few/a.jpg", "listed/a.jpg", "rated/a.jpg"):
        settled(folder / name, encoded(noise(400, 300), "jpg"))
    config.write_text(CONFIG)
    with managed(folder, "--config", config) as an_api:
        yield an_api


def read(api: Api, target: str, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = api.served.client.get(f"{api.served.base_url}/img/{target}", headers=named)
    assert answer.status_code in {200, 304}, answer.text
    return answer


def test_each_client_receives_its_own_picture_from_every_cache(api: Api) -> None:
    sizes = {"1": 100, "2": 200, "3": 300}
    tags = set()
    for _ in range(3):
        for dpr, width in sizes.items():
            for _ in range(2):
                answer = read(api, "a.jpg?width=100", sec_ch_dpr=dpr)
                assert opened(answer.content).width == width
                tags.add(answer.headers["etag"])
        assert opened(read(api, "a.jpg?width=100").content).width == 100
    assert len(tags) == 3
    assert answer.headers["vary"] == "sec-ch-dpr, dpr, save-data"
    assert answer.headers["accept-ch"] == "sec-ch-dpr, save-data, sec-ch-width"
    again = read(api, "a.jpg?width=100", sec_ch_dpr="3", if_none_match=answer.headers["etag"])
    assert again.status_code == 304
    assert read(api, "a.jpg?width=100", sec_ch_dpr="1", if_none_match=answer.headers["etag"]).status_code == 200


def test_a_picture_without_hints_is_for_everybody(api: Api) -> None:
    answer = read(api, "a.jpg?width=100&dpr=1&quality=80&animate=0", sec_ch_dpr="3", save_data="on")
    assert "vary" not in answer.headers
    assert opened(answer.content).width == 100


def test_less_data_is_sent_to_those_who_save_it(api: Api) -> None:
    plain, saved = (read(api, "a.jpg?width=300", **hints) for hints in ({}, {"save_data": "on"}))
    assert len(saved.content) < len(plain.content)


def test_hints_stay_within_the_rules(api: Api) -> None:
    assert opened(read(api, "listed/a.jpg?width=100", dpr="2").content).width == 150
    assert opened(read(api, "few/a.jpg", width="50").content).width == 400
    assert "vary" not in read(api, "few/a.jpg", width="50").headers
    answer = read(api, "rated/a.jpg?width=100", dpr="2", save_data="on")
    assert opened(answer.content).width == 200
    assert answer.headers["vary"] == "sec-ch-dpr, dpr"
