import socket
from collections.abc import AsyncIterator, Sequence

import pytest

from imgserve.download import Downloader, FetchRules
from imgserve.download.networks import REFUSED
from imgserve.errors import AddressRefused, ImgserveError
from tests.pictures import encoded, quarters
from tests.remote import Remote, ok, redirect, remote

pytestmark = pytest.mark.anyio

JPEG = encoded(quarters(), "jpg")


def _words(text: str) -> list[str]:
    return text.split()


HOSTILE = _words("""
127.0.0.1 127.1 127.0.1 127.255.255.254 0x7f.1 0x7f000001 0X7F.0.0.1 2130706433 017700000001 0177.1 0 0.0.0.0 0x0
localhost localhost. LOCALHOST 127.0.0.1. [::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1]
[::ffff:0:7f00:1] [::127.0.0.1] [::7f00:1] [64:ff9b::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b:1::7f00:1] [2002:7f00:1::]
[2002:a00:1::] [2001:0:7f00:1::] [fe80::1] [fec0::1] [fc00::1] [fd00:ec2::254] [ff02::1] [ff0e::1] [100::1] 10.0.0.1
167772161 0xa.1 100.64.0.1 100.100.100.200 169.254.169.254 2852039166 0xa9fea9fe 169.254.170.2 168.63.129.16
172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 192.168.257 198.18.0.1 198.51.100.1
203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 4294967295 no-such-name.invalid
metadata.google.internal. a..b - _ 1.2.3.4.5 127.0.0.1.example.invalid
""")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def there() -> AsyncIterator[Remote]:
    async with remote() as served:
        served.answers["/a.jpg"] = ok(JPEG)
        yield served


async def nowhere(_piece: bytes) -> None:
    """Discard bytes."""


async def refusal(downloader: Downloader, url: str) -> ImgserveError:
    with pytest.raises(AddressRefused) as refused:
        await downloader.fetch(url, nowhere)
    await downloader.close()
    return refused.value


class Answering:
    """Resolves as told, another way each time; what cannot be had from a real resolver at will."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0)


@pytest.mark.parametrize("host", HOSTILE)
async def test_hosts_inside_are_refused_alike_and_not_connected_to(there: Remote, host: str) -> None:
    downloader = Downloader(FetchRules(1_000_000, ports=frozenset({there.port})))
    error = await refusal(downloader, f"http://{host}:{there.port}/a.jpg")
    assert error.detail == REFUSED
    assert there.connections == 0


@pytest.mark.parametrize("host", ["0177.0.0.1", "00.0.0.0", "0251.0376.0251.0376", "256.256.256.256", "1%2e2"])
async def test_spellings_that_are_no_host_are_refused_as_such(there: Remote, host: str) -> None:
    downloader = Downloader(FetchRules(1_000_000, ports=frozenset({there.port})))
    error = await refusal(downloader, f"http://{host}:{there.port}/a.jpg")
    assert error.detail.startswith("expected a URL")
    assert there.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "10.0.0.1", "nowhere.invalid"])
async def test_a_redirect_inside_is_refused_in_the_same_words(there: Remote, host: str) -> None:
    resolve = Answering(["127.0.0.1"], [{"localhost": "127.0.0.1"}.get(host, host.strip("[]"))])
    there.answers["/go"] = redirect(f"http://{host}:{there.port}/a.jpg")
    there.answers["/a.jpg"] = ok(JPEG)
    rules = FetchRules(1_000_000, ports=frozenset({there.port}), networks=("127.0.0.1",))
    downloader = Downloader(rules, resolve=resolve)
    if host in {"127.0.0.1", "localhost"}:
        await downloader.fetch(f"http://public.example:{there.port}/go", nowhere)
        await downloader.close()
        return
    error = await refusal(downloader, f"http://public.example:{there.port}/go")
    assert error.detail == REFUSED
    assert len(there.requests) == 1


async def test_one_private_address_among_public_ones_is_enough_to_refuse(there: Remote) -> None:
    resolve = Answering(["93.184.216.34", "2606:4700::1111", "127.0.0.1"])
    downloader = Downloader(FetchRules(1_000_000, ports=frozenset({there.port})), resolve=resolve)
    error = await refusal(downloader, f"http://mixed.example:{there.port}/a.jpg")
    assert error.detail == REFUSED
    assert there.connections == 0


async def test_a_name_that_changes_its_answer_is_requested_once_and_gains_nothing(there: Remote) -> None:
    resolve = Answering(["127.0.0.9"], ["127.0.0.1"])
    rules = FetchRules(1_000_000, ports=frozenset({there.port}), networks=("127.0.0.9",))
    downloader = Downloader(rules, resolve=resolve)
    with pytest.raises(ImgserveError) as failed:  # 127.0.0.9 is where nobody listens
        await downloader.fetch(f"http://rebinding.example:{there.port}/a.jpg", nowhere)
    await downloader.close()
    assert failed.value.code == "fetch_failed"
    assert resolve.asked == ["rebinding.example"]
    assert there.connections == 0


async def test_a_name_is_checked_again_for_each_connection(there: Remote) -> None:
    resolve = Answering(["127.0.0.1"], ["127.0.0.2"])
    rules = FetchRules(1_000_000, ports=frozenset({there.port}), networks=("127.0.0.1",))
    downloader = Downloader(rules, resolve=resolve)
    await downloader.fetch(f"http://rebinding.example:{there.port}/a.jpg", nowhere)
    error = await refusal(downloader, f"http://rebinding.example:{there.port}/a.jpg")
    assert error.detail == REFUSED
    assert there.connections == 1


async def test_addresses_are_tried_one_after_the_other(there: Remote) -> None:
    resolve = Answering(["127.0.0.2", "127.0.0.1"])
    rules = FetchRules(1_000_000, ports=frozenset({there.port}), networks=("127.0.0.0/8",))
    downloader = Downloader(rules, resolve=resolve)
    assert await downloader.fetch(f"http://two.example:{there.port}/a.jpg", nowhere) == "a.jpg"
    await downloader.close()
    assert there.requests[0].splitlines()[1].lower() == f"host: two.example:{there.port}".encode()


async def test_the_default_ports_are_those_of_the_web(there: Remote) -> None:
    downloader = Downloader(FetchRules(1_000_000, networks=("127.0.0.1",)))
    error = await refusal(downloader, f"http://127.0.0.1:{there.port}/a.jpg")
    assert "80 or 443" in error.detail
    assert there.connections == 0


async def test_a_redirect_to_another_port_is_refused(there: Remote) -> None:
    there.answers["/go"] = redirect("http://127.0.0.1:6379/")
    rules = FetchRules(1_000_000, ports=frozenset({there.port}), networks=("127.0.0.1",))
    error = await refusal(Downloader(rules), f"http://127.0.0.1:{there.port}/go")
    assert "port" in error.detail


async def test_another_spelling_of_an_allowed_address_is_resolved_first(there: Remote) -> None:
    rules = FetchRules(1_000_000, ports=frozenset({there.port}), networks=("127.0.0.1",))
    downloader = Downloader(rules)
    assert socket.inet_aton("0x7f.1") == bytes([127, 0, 0, 1])
    assert await downloader.fetch(f"http://0x7f.1:{there.port}/a.jpg", nowhere) == "a.jpg"
    await downloader.close()
