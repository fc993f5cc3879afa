import socket

import pytest

from imgserve.errors import ConfigError
from imgserve.server.sockets import address_of, bind, unbind


def test_port_0_takes_a_free_port_and_the_address_reports_it() -> None:
    sockets = bind("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    assert address_of(sockets, "127.0.0.1") == f"http://127.0.0.1:{port}"
    unbind(sockets)


def test_an_ipv6_address_is_written_in_brackets() -> None:
    try:
        sockets = bind("::1", 0)
    except ConfigError:
        pytest.skip("this machine has no IPv6")
    assert address_of(sockets, "::1") == f"http://[::1]:{sockets[0].getsockname()[1]}"
    unbind(sockets)


def test_every_address_of_a_name_is_bound_to_one_port() -> None:
    sockets = bind("localhost", 0)
    assert len({bound.getsockname()[1] for bound in sockets}) == 1
    assert any(bound.getsockname()[0] == "127.0.0.1" for bound in sockets)
    unbind(sockets)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_here_is_a_mistake_in_the_configuration(host: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot listen on {host}:8000: "):
        bind(host, 8000)


def test_the_address_of_another_machine_is_answered_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="choose another one with --host"):
        bind("192.0.2.1", 8000)


def test_a_bound_socket_can_be_listened_on() -> None:
    sockets = bind("127.0.0.1", 0)
    sockets[0].listen()
    with socket.create_connection(sockets[0].getsockname()) as client:
        assert client.getpeername() == sockets[0].getsockname()
    unbind(sockets)
