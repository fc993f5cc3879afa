import httpx2
import pytest

from imgserve.download.networks import file_name, read_address
from imgserve.errors import AddressRefused

PORTS = {80, 443}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("http://example.com/a.jpg", "http://example.com/a.jpg"),
        ("HTTPS://Example.COM:443/a b.jpg?x=1#part", "https://example.com/a%20b.jpg?x=1"),
        ("http://example.com:443/odd", "http://example.com:443/odd"),
        ("http://müller.example/ü.png", "http://xn--mller-kva.example/%C3%BC.png"),
        ("http://example.com", "http://example.com"),
        ("http://[2606:4700::1111]/x", "http://[2606:4700::1111]/x"),
    ],
)
def test_addresses_are_read_as_they_are_requested(text: str, read: str) -> None:
    assert str(read_address(text, PORTS)) == read


@pytest.mark.parametrize(
    "text",
    [
        *("", "example.com/a.jpg", "//example.com/a.jpg", "/etc/passwd", "file:///etc/passwd", "ftp://example.com/a"),
        *("gopher://example.com:80/", "data:image/png;base64,AAAA", "javascript:alert(1)", "http:///a.jpg", "http://"),
        *("http://user:secret@example.com/", "http://user@example.com/", "http://:@example.com/"),
        *("http://example.com:22/", "http://example.com:8080/", "https://example.com:0/", "http://example.com:99999/"),
        *("http://exa mple.com/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://127.0.0.1%2f@x/"),
        *("http://example.com\\@127.0.0.1/", "http://a\nb/", "http://example.com/\r\nX: y", "http://①②⑦.0.0.1/"),
        "http://example.com/" + "a" * 9000,
    ],
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(AddressRefused):
        read_address(text, PORTS)


def test_a_refusal_does_not_repeat_credentials() -> None:
    with pytest.raises(AddressRefused) as refused:
        read_address("http://user:secret@example.com/", PORTS)
    assert "secret" not in refused.value.detail


@pytest.mark.parametrize(
    ("location", "read"),
    [
        ("/b.jpg", "https://example.com/b.jpg"),
        ("b.jpg", "https://example.com/x/b.jpg"),
        ("//o.example/", "https://o.example/"),
    ],
)
def test_a_redirect_is_read_from_where_it_stands(location: str, read: str) -> None:
    base = read_address("https://example.com/x/a.jpg", PORTS)
    assert str(read_address(location, PORTS, base)) == read


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://u:p@example.com/", "https://example.com:22/"])
def test_a_redirect_is_read_as_strictly(location: str) -> None:
    with pytest.raises(AddressRefused):
        read_address(location, PORTS, read_address("https://example.com/", PORTS))


@pytest.mark.parametrize(
    ("url", "disposition", "name"),
    [
        ("http://h/a/photo%20one.jpg?v=2", "", "photo one.jpg"),
        ("http://h/a/", "", ""),
        ("http://h", "", ""),
        ("http://h/get?id=7", 'attachment; filename="seven.png"', "seven.png"),
        ("http://h/get", "attachment; filename*=UTF-8''%E2%82%AC.png", "€.png"),
        ("http://h/get", "attachment", "get"),
        ("http://h/get", 'attachment; filename="a\r\nb.png"', "a  b.png"),
        ("http://h/%ff%fe.jpg", "", "\ufffd\ufffd.jpg"),
    ],
)
def test_what_was_fetched_has_a_name(url: str, disposition: str, name: str) -> None:
    assert file_name(httpx2.URL(url), disposition) == name


def test_the_allowed_ports_are_named() -> None:
    with pytest.raises(AddressRefused, match="expected a URL with the port 80 or 443, but received 8080"):
        read_address("http://www.example.com:8080/a.jpg", (443, 80))
