"""Signatures: every spelling of a URL has the same, and no other URL has it."""

import hashlib
import hmac
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imgserve.errors import BadTransform
from imgserve.transform import Verified, canonical_text, sign, signed_url, verify

SECRET, OTHER = "a secret of the first server", "another secret of that server"
PATH, QUERY = "/img/products/shoe.jpg", "width=400&format=webp"


def signed(path: str | bytes, query: str | bytes, secret: str = SECRET) -> str:
    return sign(secret, path, query)


def verified(path: str, query: str, *secrets: str) -> Verified | None:
    return verify(secrets or (SECRET,), path.encode(), query.encode())


@pytest.mark.parametrize(
    ("path", "query", "text"),
    [
        (PATH, "", PATH),
        (PATH, "&&", PATH),
        (PATH, "width=400&format=webp", f"{PATH}?format=webp&width=400"),
        ("/img/D%C3%bcnen%20im+Wind.jpg", "", "/img/D%C3%BCnen%20im%2BWind.jpg"),
        ("/img/Dünen (1)'s~.jpg", "", "/img/D%C3%BCnen%20%281%29%27s~.jpg"),
        ("/img/%73hoe%2F1%2525%E9%zz%.jpg", "", "/img/shoe/1%2525%E9%25zz%25.jpg"),
        ("/a", "bg=red&download=a+b%2Bc&download&=&x=1=2", "/a?=&bg=red&download=&download=a%20b%2Bc&x=1%3D2"),
        ("/a", "text-align=top&text=%2f%20%C3%A9&text=%2F", "/a?text=/&text=/%20%C3%A9&text-align=top"),
        ("/a", "W=4&w=4&w=4", "/a?W=4&w=4&w=4"),
        ("/a", "w=2&b=1&then&w=1&Then=x&c=3&b=2", "/a?b=1&w=2&then=&w=1&Then=x&b=2&c=3"),
        ("/a", "s=200KB&signature=x&S=" + "0a" * 32, "/a?s=200KB"),
    ],
)
def test_the_signed_text_has_one_spelling(path: str, query: str, text: str) -> None:
    assert canonical_text(path, query) == text
    assert canonical_text(*text.partition("?")[::2]) == text


def test_a_signature_of_a_chain_opens_no_other_order_of_its_steps() -> None:
    signature = signed(PATH, "rect=0,0,9,9&then&blur=500")
    assert verified(PATH, f"rect=0,0,9,9&then&blur=500&signature={signature}")
    for query in ("blur=500&then&rect=0,0,9,9", "then&blur=500&rect=0,0,9,9", "blur=500&rect=0,0,9,9&then"):
        assert verified(PATH, f"{query}&signature={signature}") is None


def test_a_signature_is_an_hmac_of_the_text() -> None:
    text = b"/img/products/shoe.jpg?format=webp&width=400"
    assert signed(PATH, QUERY) == hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("name", ["signature", "s", "Signature", "%73"])
def test_a_signature_is_verified_and_left_out_of_the_rest(name: str) -> None:
    query = f"width=400&{name}={signed(PATH, 'expires=17&' + QUERY)}&expires=17&&format=webp"
    assert verified(PATH, query) == Verified(b"width=400&&format=webp", 17)


@pytest.mark.parametrize("place", ["s={}&{}", "{1}&s={0}", "&s={}&{}"])
def test_a_signature_of_the_url_as_it_is_sent_counts(place: str) -> None:
    path, query = "/img/D%c3%bcnen+%41.jpg", "width=%34&b&a=1+2"
    rest = place.format("", query).replace("s=&", "").replace("&s=", "")
    digest = hmac.new(SECRET.encode(), f"{path}?{rest}".encode(), "sha256").hexdigest()
    assert verified(path, place.format(digest, query)) is not None
    assert verified(path, place.format(digest, query.replace("%34", "4"))) is None


def test_a_path_alone_can_be_signed_as_it_is_sent() -> None:
    digest = hmac.new(SECRET.encode(), b"/img/%61", "sha256").hexdigest()
    assert verified("/img/%61", f"s={digest}") == Verified(b"", None)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "&signature=",
        "&signature={0}&signature={0}",
        "&s={0}&signature={0}",
        "&s={0}&s=0123456789abcdef0123456789abcdef",
        "&s={1}",
        "&signature={1}",
        "&signature={2}",
        "&s={2}",
        "&signature={0}0",
        "&signature={0}%20",
        "&signature=+{0}",
        "&signature=%E9{0}",
        "&signature64={0}",
    ],
)
def test_any_other_signature_fails(wrong: str) -> None:
    signature = signed(PATH, QUERY)
    assert verified(PATH, QUERY + wrong.format(signature, signature[:32], signature.upper())) is None


def test_all_secrets_verify() -> None:
    query = f"{QUERY}&signature={signed(PATH, QUERY)}"
    assert verified(PATH, query, OTHER, SECRET) is not None
    assert verified(PATH, query, OTHER) is None
    assert verify((), PATH.encode(), query.encode()) is None


@pytest.mark.parametrize(
    ("expiry", "sentence"),
    [
        ("expires=tomorrow", 'expires: expected a time in Unix seconds, but received "tomorrow"'),
        ("expires", 'expires: expected a time in Unix seconds, but received ""'),
        ("expires=-1", 'expires: expected a time in Unix seconds, but received "-1"'),
        ("expires=1&Expires=2", "expires: given twice with different values"),
    ],
)
def test_a_signed_expiry_that_is_no_time_is_a_mistake(expiry: str, sentence: str) -> None:
    with pytest.raises(BadTransform) as caught:
        verified(PATH, f"{expiry}&signature={signed(PATH, expiry)}")
    assert caught.value.mistakes == [sentence]
    assert verified(PATH, f"{expiry}&signature={signed(PATH, QUERY)}") is None


def test_a_query_beyond_measure_is_not_read() -> None:
    with pytest.raises(BadTransform, match="query: expected at most"):
        verified(PATH, "a=" + "x" * 8191)
    with pytest.raises(BadTransform, match="query: expected at most"):
        signed(PATH, "a&" * 101)


@pytest.mark.parametrize("host", ["", "//img.example.com:80", "https://img.example.com", "HTTP://[::1]:8000"])
@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        ("/img/a.jpg", "/img/a.jpg", ""),
        ("/a b.jpg?bg=%23fff", "/a%20b.jpg", "bg=%23fff&"),
        ("/img/Dünen.jpg?dl=ü", "/img/D%C3%BCnen.jpg", "dl=%C3%BC&"),
        (f"/img/a.jpg?signature=old&w=4&s={'0' * 64}&s=1KB", "/img/a.jpg", "w=4&s=1KB&"),
        ("/img/a.jpg?w=4&expires=1", "/img/a.jpg", "w=4&expires=1&"),
    ],
)
def test_a_url_is_signed_with_its_own_spelling(host: str, url: str, path: str, query: str) -> None:
    written = signed_url(SECRET, f"{host}{url}#top")
    start = f"{host}{path}?{query}signature="
    assert (written[: len(start)], written[len(start) + 64 :]) == (start, "#top")
    assert verified(path, query + "signature=" + written[len(start) : -4]) is not None


def test_an_expiry_is_added_or_replaced() -> None:
    written = signed_url(SECRET, "/img/a.jpg?expires=1&w=4", expires=1_800_000_000)
    assert written.startswith("/img/a.jpg?w=4&expires=1800000000&signature=")
    assert verified(*written.split("?")) == Verified(b"w=4", 1_800_000_000)


@pytest.mark.parametrize("url", ["", "img/a.jpg", "?w=4", "https://img.example.com", "ftp://a/b", "https:///a"])
def test_what_is_no_url_is_not_signed(url: str) -> None:
    with pytest.raises(ValueError, match="expected a URL or a path"):
        signed_url(SECRET, url)


BYTES = st.binary(max_size=6)
NAMES = st.sampled_from([b"w", b"width", b"text", b"text-align", b"expire", b"s", b"x.y", b""]) | BYTES
PAIRS = st.lists(
    st.tuples(NAMES, BYTES).filter(lambda pair: pair[0].lower() not in {b"signature", b"expires", b"then"}), max_size=6
)
PATHS = st.lists(BYTES, min_size=1, max_size=3).map(lambda parts: b"/" + b"/".join(parts))


LETTERS = b"ABCXYZabcxyz0123456789-._~/:@!$'()*,;"
RANDOM = st.randoms(use_true_random=False)


def spelled(random: Random, data: bytes, plain: bytes, space: bytes = b"%20") -> bytes:
    """Return a percent-encoding of some bytes, chosen byte by byte: those that are always plain may be escaped."""
    choices = {byte: [b"%%%02x" % byte, b"%%%02X" % byte] for byte in data}
    choices = {byte: [*escapes, bytes([byte])] if byte in plain else escapes for byte, escapes in choices.items()}
    return b"".join(random.choice([*choices[byte], space] if byte == ord(" ") else choices[byte]) for byte in data)


def url(random: Random, path: bytes, pairs: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """Return a spelling of a URL, its pairs in any order."""
    parts = [
        spelled(random, name, LETTERS, b"+") + b"=" + spelled(random, value, LETTERS + b"=", b"+")
        for name, value in random.sample(pairs, len(pairs))
    ]
    parts += [b""] * random.randrange(3)
    return spelled(random, path, LETTERS + b"+=&"), b"&".join(random.sample(parts, len(parts)))


def with_signature(query: bytes, signature: str) -> bytes:
    return b"&".join(filter(None, (query, b"signature=" + signature.encode())))


@given(RANDOM, PATHS, PAIRS)
def test_every_spelling_of_a_url_has_the_same_signature(
    random: Random, path: bytes, pairs: list[tuple[bytes, bytes]]
) -> None:
    signature, (received, query) = signed(*url(random, path, pairs)), url(random, path, pairs)
    assert verify([SECRET], received, with_signature(query, signature)) == Verified(query, None)


CHANGE = st.tuples(st.sampled_from(["path", "add", "change", "remove"]), PATHS, st.tuples(NAMES, BYTES))


@given(RANDOM, PATHS, PAIRS, CHANGE)
def test_a_changed_url_fails(
    random: Random, path: bytes, pairs: list[tuple[bytes, bytes]], change: tuple[str, bytes, tuple[bytes, bytes]]
) -> None:
    what, other_path, pair = change
    changed, place = [*pairs, pair] if what == "add" else list(pairs), random.randrange(len(pairs) or 1)
    if what in {"change", "remove"}:
        changed[place : place + 1] = [pair] if what == "change" else []
    changed_path = other_path if what == "path" else path
    assume((changed_path, sorted(changed)) != (path, sorted(pairs)))
    signature, (received, query) = signed(*url(random, path, pairs)), url(random, changed_path, changed)
    assert verify([SECRET], received, with_signature(query, signature)) is None


@given(st.binary(max_size=30), st.binary(max_size=60))
def test_any_url_has_a_signature(path: bytes, query: bytes) -> None:
    text = canonical_text(path, query)
    assert text.isascii()
    assert canonical_text(*text.partition("?")[::2]) == text
    assert verify([SECRET], path, query) is None
