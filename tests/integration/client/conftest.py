"""A server that speaks the API, and both clients of it: every test with the fixture `client` runs with both."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest

from imgserve.client.api import AsyncImgserve, Imgserve, Retries
from tests.api_server import KEY, ApiServer, MakeClient, api_server

QUICK = Retries(seconds=20, first=0.01, most=0.02)


class Waiting:
    """The asynchronous client with the methods of the blocking one."""

    def __init__(self, client: AsyncImgserve, runner: asyncio.Runner) -> None:
        self._client, self._runner = client, runner

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        return self._wrapped(attribute) if inspect.ismethod(attribute) else attribute

    def _wrapped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            result = method(*arguments, **named)
            return self._each(result) if isinstance(result, AsyncIterator) else self._runner.run(result)

        return call

    def _each(self, results: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> list[Any]:
            return [item async for item in _first(results)]

        while found := self._runner.run(following()):
            yield from found


async def _first(results: AsyncIterator[Any]) -> AsyncIterator[Any]:
    with_one = await anext(results, None)
    if with_one is not None:
        yield with_one


@pytest.fixture(scope="session")
def serving() -> Iterator[ApiServer]:
    with api_server() as served:
        yield served


@pytest.fixture
def api(serving: ApiServer) -> ApiServer:
    serving.forget()
    return serving


@pytest.fixture(params=[Imgserve, AsyncImgserve])
def make(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Makes a client of the kind that is tested; by default one that does not wait long."""
    made = []
    with asyncio.Runner() as runner:

        def make(base_url: str, **options: Any) -> Imgserve:
            client = request.param(base_url, **{"key": KEY, "retries": QUICK, **options})
            made.append(client if isinstance(client, Imgserve) else Waiting(client, runner))
            return cast("Imgserve", made[-1])

        yield make
        for client in made:
            client.close()


@pytest.fixture
def client(api: ApiServer, make: MakeClient) -> Imgserve:
    return make(api.base_url)
