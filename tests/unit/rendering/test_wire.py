"""What goes over the pipes: whole answers, made of nothing but what an answer is made of."""

import json
from dataclasses import asdict, replace

import pytest

from imgserve.errors import BadTransform, ImgserveError, every_error
from imgserve.model import TEXT_CHARACTERS, Face, Facts, Rendition
from imgserve.rendering.wire import (
    LENGTHS_BYTES,
    Answer,
    Failed,
    Inspected,
    Ready,
    Rendered,
    Stored,
    read_answer,
    read_lengths,
    write_answer,
)

FACTS = Facts(version="1_2", sha256="ab" * 32, format="png", width=3, height=2, size=99)
FULL_FACTS = replace(
    FACTS, frames=3, alpha=True, color_space="display-p3", perceptual_hash=(1 << 64) - 1, dominant_color="#0a0b0c",
    palette=("#0a0b0c", "#ffffff"), blurhash="LEHV6nWB2yk8pyo0adR*.7kCMdnj",
    thumbhash=bytes(range(25)), faces=(Face(0.5, 0.25, 0.5, 0.1), Face(0, 0, 1, 1)),
    title="Häfen \U0001f6a2", description="one\ntwo", keywords=("a", "b"),
    metadata={"copyright": "© Ann", "taken": "2024-05-17"},
)  # fmt: skip
RENDITION = Rendition(b"bytes", "image/png", 3, 2, ("a note",))


def there_and_back(answer: Answer) -> Answer:
    """Send an answer as a rendering process does and read it as the server does."""
    sent = write_answer(answer)
    head, body = read_lengths(sent[:LENGTHS_BYTES])
    assert len(sent) == LENGTHS_BYTES + head + body
    return read_answer(sent[LENGTHS_BYTES : LENGTHS_BYTES + head], sent[LENGTHS_BYTES + head :])


@pytest.mark.parametrize(
    "answer",
    [
        Ready("1/8.18.0"),
        Ready("1/8.18.0", "landlock abi 7, seccomp", confined=True),
        Rendered(RENDITION, 0.1),
        Rendered(RENDITION, 1, "mezzanine", storing=True),
        Rendered(RENDITION, 1, broken=True, started=2.5),
        Rendered(Rendition(b"", "image/webp", 1, 1), 0.0),
        Stored(5, 1.0),
        Inspected(FACTS, 0.1),
        Inspected(FULL_FACTS, 2.0, storing=True),
    ],
)
def test_an_answer_arrives_as_it_was_sent(answer: Answer) -> None:
    assert there_and_back(answer) == answer


@pytest.mark.parametrize("kind", [kind for kind in every_error() if kind is not BadTransform])
def test_every_error_arrives_as_it_was_raised(kind: type[ImgserveError]) -> None:
    answer = there_and_back(Failed(kind("why, so far", retry_after=3, members={"a": [1, "b"]})))
    assert isinstance(answer, Failed)
    assert type(answer.error) is kind
    assert (answer.error.detail, answer.error.retry_after, answer.error.members) == ("why, so far", 3, {"a": [1, "b"]})


def test_every_mistake_of_a_transform_arrives() -> None:
    answer = there_and_back(Failed(BadTransform(["one", "two"])))
    assert isinstance(answer, Failed)
    assert isinstance(answer.error, BadTransform)
    assert answer.error.mistakes == ["one", "two"]


SOUND: dict[str, object] = {
    "kind": "rendered",
    "seconds": 0.1,
    "made_from": "original",
    "storing": False,
    "broken": False,
    "started": 1.5,
    "media_type": "image/png",
}
SOUND |= {"width": 3, "height": 2, "notes": ["a"], "crc32": 1}
FAILED: dict[str, object] = {"kind": "failed", "error": "Busy", "detail": "why", "retry_after": None, "members": {}}


@pytest.mark.parametrize(
    "told",
    [
        "text",
        [SOUND],
        {},
        {"kind": ["rendered"]},
        {"kind": "else"},
        SOUND | {"seconds": "0.1"},
        SOUND | {"made_from": "nothing"},
        SOUND | {"media_type": "text/html"},
        SOUND | {"width": True},
        SOUND | {"height": 2.5},
        SOUND | {"notes": "a"},
        SOUND | {"notes": [1]},
        SOUND | {"crc32": None},
        {name: value for name, value in SOUND.items() if name != "storing"},
        FAILED | {"error": "SystemExit"},
        FAILED | {"error": "ConfigError"},
        FAILED | {"error": ["Busy"]},
        FAILED | {"retry_after": "1"},
        FAILED | {"members": []},
        FAILED | {"error": "BadTransform"},
        FAILED | {"error": "BadTransform", "members": {"mistakes": "one"}},
        FAILED | {"error": "BadTransform", "members": {"mistakes": [1]}},
        {"kind": "stored", "size": "many", "seconds": 1},
        {"kind": "ready", "pipeline": 1},
    ],
)
def test_an_answer_that_is_none_is_refused(told: object) -> None:
    read_answer(json.dumps(SOUND).encode(), b"bytes")
    read_answer(json.dumps(FAILED).encode(), b"")
    with pytest.raises(ValueError, match=r"."):
        read_answer(json.dumps(told).encode(), b"bytes")


INSPECTED = asdict(FULL_FACTS) | {"kind": "inspected", "seconds": 0.1, "storing": False, "thumbhash": "0a0b"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": "long"},
        {"version": None},
        {"sha256": "AB" * 32},
        {"sha256": "ab"},
        {"format": "exe"},
        {"width": 0},
        {"height": -1},
        {"size": True},
        {"frames": 0},
        {"alpha": 1},
        {"color_space": 5},
        {"perceptual_hash": 1 << 64},
        {"perceptual_hash": -1},
        {"perceptual_hash": True},
        {"perceptual_hash": "12"},
        {"dominant_color": "red"},
        {"dominant_color": "#FFFFFF"},
        {"palette": ["red"]},
        {"palette": [""]},
        {"blurhash": "<b>"},
        {"thumbhash": "xyz"},
        {"faces": {}},
        {"faces": [1]},
        {"faces": [{"x": 0.5, "y": 0, "width": 0.6, "height": 0}]},
        {"faces": [{"x": 0.5, "y": 0}]},
        {"faces": [{"x": 0, "y": 0, "width": 0, "height": 0}] * 101},
        {"thumbhash": "00" * 65},
        {"title": "a" * (TEXT_CHARACTERS + 1)},
        {"description": "\ud800"},
        {"keywords": "a"},
        {"keywords": [1]},
        {"metadata": []},
        {"metadata": {"a": 1}},
    ],
)
def test_facts_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    read_answer(json.dumps(INSPECTED).encode(), b"")
    with pytest.raises(ValueError, match=r"."):
        read_answer(json.dumps(INSPECTED | wrong).encode(), b"")


@pytest.mark.parametrize("field", [name for name in INSPECTED if name != "perceptual_hash"])
def test_facts_that_lack_one_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_answer(json.dumps({name: value for name, value in INSPECTED.items() if name != field}).encode(), b"")


@pytest.mark.parametrize("head", [b"", b"\x80", b"garbage", b"{", b'{"kind": "ready"', bytes(range(256))])
def test_half_an_answer_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_answer(head, b"")


@pytest.mark.parametrize("begin", [b"\xff" * LENGTHS_BYTES, b"\0\0\0\1" + b"\xff" * 8, b"\xff\0\0\0" + b"\0" * 8])
def test_a_length_that_no_answer_has_is_refused(begin: bytes) -> None:
    assert read_lengths(b"\0" * LENGTHS_BYTES) == (0, 0)
    with pytest.raises(ValueError, match="bytes"):
        read_lengths(begin)
