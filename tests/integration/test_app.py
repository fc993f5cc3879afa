"""The application without a server: built, opened and asked through ASGI."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message

from imgserve.app import Parts, create_app, lifespan, server_processes
from imgserve.app.pictures import processes
from imgserve.config import Config
from tests.pictures import encoded, noise, opened, quarters
from tests.servers import settled

T = TypeVar("T")
TARGET = "/img/shoe.jpg?width=40"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    settled(tmp_path / "originals/shoe.jpg", encoded(quarters(), "jpg"))
    settled(tmp_path / "originals/noise.jpg", encoded(noise(), "jpg"))
    return Config.load(
        environ={},
        overrides={
            "originals.folder": str(tmp_path / "originals"),
            "cache.folder": str(tmp_path / "cache"),
            "rendering.processes": 1,
            "log.access": str(tmp_path / "access.log"),
        },
    )


@contextlib.asynccontextmanager
async def asking(app: Starlette) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


def served(config: Config, story: Callable[[Starlette, httpx2.AsyncClient], Awaitable[T]]) -> T:
    async def tell() -> T:
        app = create_app(config)
        async with lifespan(app), asking(app) as client:
            return await story(app, client)

    return asyncio.run(tell())


def parts(app: Starlette) -> Parts:
    found = app.state.parts
    assert isinstance(found, Parts)
    return found


def figure(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"imgserve_{name}" and labels.items() <= sample.labels.items()
    )


def test_an_app_serves_once_its_lifespan_has_begun(config: Config) -> None:
    async def story(_app: Starlette, client: httpx2.AsyncClient) -> list[httpx2.Response]:
        return [await client.get(target) for target in (TARGET, TARGET, "/readyz")]

    made, again, ready = served(config, story)
    assert [answer.status_code for answer in (made, again, ready)] == [200, 200, 200]
    assert opened(made.content).width == 40
    assert "hit" in again.headers["cache-status"]


def test_an_app_that_was_not_opened_is_alive_and_not_ready(config: Config) -> None:
    async def tell() -> tuple[httpx2.Response, httpx2.Response]:
        app = create_app(config)
        async with asking(app) as client:
            answers = await client.get("/healthz"), await client.get("/readyz")
        parts(app).requests.access_log.close()
        await parts(app).cache.close()
        return answers

    alive, ready = asyncio.run(tell())
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert ready.json()["parts"]["rendering"].startswith("failed")


def test_an_app_can_be_opened_again_after_it_was_closed(config: Config) -> None:
    async def story(_app: Starlette, client: httpx2.AsyncClient) -> str:
        return (await client.get(TARGET)).headers["cache-status"]

    assert served(config, story) == "imgserve; fwd=miss; stored"
    assert served(config, story) == "imgserve; hit; detail=disk"


def test_two_apps_in_one_process_do_not_mix_their_figures(config: Config) -> None:
    async def tell() -> tuple[float, float]:
        one, other = create_app(config), create_app(config)
        async with lifespan(one), lifespan(other), asking(one) as client:
            await client.get(TARGET)
            names = [parts(app).metrics.registry for app in (one, other)]
            return figure(names[0], "requests_total"), figure(names[1], "requests_total")

    assert asyncio.run(tell()) == (1, 0)


def test_an_app_works_where_another_mounts_it(config: Config) -> None:
    async def tell() -> list[httpx2.Response]:
        app = create_app(config)
        host = Starlette(routes=[Mount("/pictures", app=app)])
        async with lifespan(app), asking(host) as client:
            targets = (f"/pictures{TARGET}", "/pictures/healthz", "/pictures/img/absent.jpg", "/pictures/img/../a.jpg")
            return [await client.get(target) for target in targets]

    answers = asyncio.run(tell())
    assert [answer.status_code for answer in answers] == [200, 200, 404, 404]


def test_requests_that_come_together_share_one_rendering(config: Config) -> None:
    async def story(app: Starlette, client: httpx2.AsyncClient) -> tuple[set[bytes], float, float, list[str]]:
        answers = await asyncio.gather(*(client.get("/img/noise.jpg?width=300") for _ in range(30)))
        registry = parts(app).metrics.registry
        statuses = [answer.headers["cache-status"] for answer in answers]
        bodies = {answer.content for answer in answers}
        return bodies, figure(registry, "renders_total"), figure(registry, "coalesced_total"), statuses

    bodies, renders, coalesced, statuses = served(config, story)
    assert (len(bodies), renders) == (1, 1)
    assert coalesced == sum("collapsed" in status for status in statuses)
    assert coalesced + sum("hit" in status for status in statuses) == 29
    assert coalesced > 0


def test_an_unforeseen_error_is_a_500_that_reveals_nothing_of_the_inside(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(app: Starlette, client: httpx2.AsyncClient) -> httpx2.Response:
        async def broken(*_: object) -> None:
            raise RuntimeError("secret /path/of/mine")

        monkeypatch.setattr(type(parts(app).renditions), "cached", broken)
        return await client.get(TARGET)

    answer = served(config, story)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["cache-control"] == "no-store"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-request-id"] in caplog.text
    assert "secret /path/of/mine" in caplog.text


def _scope(target: str) -> dict[str, object]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


def test_a_client_that_leaves_is_let_go_and_the_picture_is_made_for_the_next(config: Config) -> None:
    async def story(app: Starlette, client: httpx2.AsyncClient) -> tuple[list[Message], float, httpx2.Response]:
        sent: list[Message] = []

        async def receive() -> Message:
            await asyncio.sleep(0)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await app(_scope("/img/noise.jpg?width=310"), receive, send)
        gone = figure(parts(app).metrics.registry, "requests_total", status="499", outcome="client_gone")
        return sent, gone, await client.get("/img/noise.jpg?width=310")

    sent, gone, answer = served(config, story)
    assert (sent, gone) == ([], 1)
    assert answer.status_code == 200


def test_the_access_log_is_closed_with_the_app(config: Config, tmp_path: Path) -> None:
    async def story(_app: Starlette, client: httpx2.AsyncClient) -> int:
        return (await client.get(TARGET)).status_code

    assert served(config, story) == 200
    assert (tmp_path / "access.log").read_text().count("\n") == 1


def test_an_app_reads_the_settings_that_the_environment_names(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"originals: {{folder: {config.originals.folder}}}\nurls: {{prefix: /p}}\nlog: {{access: 'off'}}\n")
    monkeypatch.setenv("IMGSERVE_CONFIG", str(file))
    monkeypatch.setenv("IMGSERVE_CACHE__FOLDER", str(tmp_path / "cache"))
    app = create_app()
    assert "/p" in [middleware.kwargs.get("prefix") for middleware in app.user_middleware]
    asyncio.run(parts(app).cache.close())


@pytest.mark.parametrize(("budget", "shared"), [("disk_bytes", (False, True)), ("mezzanine_bytes", (True, False))])
def test_several_server_processes_lock_what_they_share(config: Config, budget: str, shared: tuple[bool, bool]) -> None:
    server = config.server.model_copy(update={"workers": 2})
    cache = config.cache.model_copy(update={budget: 0})
    built = parts(create_app(config.model_copy(update={"server": server, "cache": cache})))
    built.requests.access_log.close()
    assert (built.renditions._locks.shared, built.renditions._mezzanines._locks.shared) == shared


def test_building_an_app_writes_and_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    overrides = {
        "originals.folder": tmp_path / "photos",
        "cache.folder": tmp_path / "cache",
        "log.access": str(tmp_path / "access.log"),
    }
    create_app(Config.load(environ={}, overrides=overrides))
    assert list(tmp_path.rglob("*")) == [tmp_path / "photos"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("cores", "workers", "processes_set", "expected"),
    [(1, "auto", 0, (1, 1)), (2, "auto", 0, (1, 2)), (4, "auto", 0, (1, 3)), (16, "auto", 0, (4, 3)),
     (16, 1, 0, (1, 15)), (2, 2, 0, (2, 1)), (16, "auto", 8, (4, 2)), (7, "auto", 0, (1, 6))],
)  # fmt: skip
def test_server_and_rendering_processes_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int | str, processes_set: int, expected: tuple[int, int]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(cores)))
    overrides = {"server.workers": workers, "rendering.processes": processes_set}
    config = Config.load(environ={}, overrides=overrides)
    assert (server_processes(config), processes(config)) == expected


def test_clients_share_no_lock_file_with_what_is_encoded_in_idle_time(config: Config) -> None:
    async def story(app: Starlette, _client: httpx2.AsyncClient) -> list[Path | None]:
        demand = parts(app).demand
        assert demand is not None
        return [locks._folder for locks in (demand._locks, parts(app).renditions._locks)]

    several = config.model_copy(update={"server": config.server.model_copy(update={"workers": 2})})
    idle, clients = served(several, story)
    assert idle
    assert clients
    assert idle != clients
