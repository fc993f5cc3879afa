"""The parts of uvicorn that the server subclasses or reads although they are not documented.

pyproject.toml bounds its version for them. Before the bound is raised, this must pass with the new version.
"""

import asyncio
import inspect
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from packaging.requirements import Requirement
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

ROOT = Path(__file__).parents[2]
OVERRIDDEN: dict[type, dict[str, list[str]]] = {
    HttpToolsProtocol: {
        "__init__": ["config", "server_state", "app_state", "_loop"],
        "connection_made": ["transport"],
        "data_received": ["data"],
        "send_400_response": ["msg"],
        "on_message_begin": [],
        "on_header": ["name", "value"],
        "on_headers_complete": [],
        "on_body": ["body"],
        "on_message_complete": [],
        "resume_writing": [],
    },
    uvicorn.Server: {"startup": ["sockets"], "capture_signals": []},
}
CALLED: dict[type, dict[str, list[str]]] = {
    HttpToolsProtocol: {"connection_lost": ["exc"], "_unset_keepalive_if_required": [], "on_url": ["url"]},
    uvicorn.Server: {"run": ["sockets"]},
}
METHODS = [
    (kind, name, names) for table in (OVERRIDDEN, CALLED) for kind in table for name, names in table[kind].items()
]


class Parts:
    """One instance of each class whose attributes are read."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.config = uvicorn.Config(_app, lifespan="on", log_config=None, ws="none")
        self.config.load()
        self.server = uvicorn.Server(self.config)
        self.server.lifespan = self.config.lifespan_class(self.config)
        self.protocol = HttpToolsProtocol(self.config, self.server.server_state, {"key": "value"}, loop)
        self.protocol.on_message_begin()


async def _app(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """Do nothing."""


@pytest.fixture
def parts() -> Any:
    loop = asyncio.new_event_loop()
    yield Parts(loop)
    loop.close()


def test_the_version_is_within_a_bound_that_has_an_end() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (bound,) = [found for text in project["dependencies"] if (found := Requirement(text)).name == "uvicorn"]
    assert version("uvicorn") in bound.specifier
    assert any(part.operator == "<" for part in bound.specifier)


@pytest.mark.parametrize(("kind", "name", "names"), METHODS)
def test_a_method_that_is_overridden_or_called_has_these_arguments(kind: type, name: str, names: list[str]) -> None:
    assert list(inspect.signature(getattr(kind, name)).parameters)[1:] == names


def test_a_server_has_these_attributes(parts: Parts) -> None:
    read = ("should_exit", "force_exit", "server_state", "lifespan")
    assert [name for name in read if not hasattr(parts.server, name)] == []
    assert parts.server.lifespan.should_exit is False


def test_the_state_of_a_server_counts_connections_and_requests() -> None:
    state = ServerState()
    assert (state.total_requests, set(state.connections), list(state.default_headers)) == (0, set(), [])


def test_a_connection_has_these_attributes(parts: Parts) -> None:
    read = (
        "app", "client", "connections", "cycle", "expect_100_continue", "flow", "headers", "loop", "parser",
        "pipeline", "scope", "server_state", "transport", "url",
    )  # fmt: skip
    assert [name for name in read if not hasattr(parts.protocol, name)] == []
    assert parts.protocol.connections is parts.server.server_state.connections


def test_a_connection_has_no_request_at_first(parts: Parts) -> None:
    assert parts.protocol.cycle is None  # although its type says otherwise


def test_the_headers_of_a_request_are_the_list_in_its_scope(parts: Parts) -> None:
    assert parts.protocol.scope["headers"] is parts.protocol.headers


def test_the_state_in_the_scope_is_a_copy_for_each_request(parts: Parts) -> None:
    first = parts.protocol.scope["state"]
    parts.protocol.on_message_begin()
    assert parts.protocol.scope["state"] == first == {"key": "value"}
    assert parts.protocol.scope["state"] is not first


def test_a_request_says_how_far_it_is() -> None:
    arguments: dict[str, Any] = dict.fromkeys(inspect.signature(RequestResponseCycle).parameters)
    cycle = RequestResponseCycle(**arguments | {"keep_alive": True, "expect_100_continue": False})
    progress = (cycle.response_started, cycle.response_complete, cycle.more_body, cycle.keep_alive)
    assert progress == (False, False, True, True)


def test_flow_control_says_what_is_paused() -> None:
    flow = FlowControl(asyncio.Transport())
    assert (flow.read_paused, flow.write_paused) == (False, False)


def test_a_trusted_proxy_names_its_client() -> None:
    trusted = ProxyHeadersMiddleware(_app, ["10.0.0.0/8"]).trusted_hosts
    assert ("10.1.2.3" in trusted, "192.0.2.1" in trusted, None in trusted) == (True, False, False)
    assert trusted.get_trusted_client_address("192.0.2.1, 10.1.2.3") == ("192.0.2.1", 0)


def test_forwarded_addresses_are_read_by_a_middleware_around_the_application() -> None:
    config = uvicorn.Config(_app, proxy_headers=True, forwarded_allow_ips=["10.0.0.1"], log_config=None, ws="none")
    config.load()
    assert isinstance(config.loaded_app, ProxyHeadersMiddleware)
