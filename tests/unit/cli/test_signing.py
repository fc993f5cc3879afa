"""`imgserve sign`: where the secret comes from, and how an expiry is written."""

import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imgserve.cli.signing import sign
from imgserve.transform import Verified, signed_url, verify

SECRET, OLDER = "the-secret-of-the-settings", "an-older-secret-of-them"
URL = "https://img.example.com/img/two words.jpg?width=400"


def run(*arguments: str, text: str | None = None, secrets: str = f"{SECRET},{OLDER}") -> Result:
    return CliRunner().invoke(sign, arguments, input=text, env={"IMGSERVE_SIGNING__SECRETS": secrets})


def covered(result: Result) -> Verified | None:
    """Return what the printed URL signs."""
    path, _, query = result.output.removeprefix("https://img.example.com").strip().partition("?")
    return verify([SECRET], path.encode(), query.encode())


def test_the_newest_secret_of_the_settings_signs(tmp_path: Path) -> None:
    assert run(URL).output == signed_url(SECRET, URL) + "\n"
    assert run("/img/a.jpg").output.startswith("/img/a.jpg?signature=")
    file = tmp_path / "settings.yaml"
    file.write_text(f"signing: {{secrets: [{OLDER}]}}")
    file.chmod(0o600)
    assert run(URL, "--config", str(file), secrets="").output == signed_url(OLDER, URL) + "\n"


def test_the_secret_of_a_file_signs_without_settings(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{OLDER}\n")
    assert run(URL, "--secret-file", str(file), secrets="").output == signed_url(OLDER, URL) + "\n"
    assert run(URL, "--secret-file", "-", text=OLDER).output == signed_url(OLDER, URL) + "\n"


@pytest.mark.parametrize("text", ["", "too-short", "two-secrets-in-one\nfile-are-no-secret", "a-secret,with-a-comma"])
def test_what_is_no_secret_is_not_repeated(text: str) -> None:
    result = run(URL, "--secret-file", "-", text=text)
    assert result.exit_code == 1
    assert "expected one secret of at least 16 visible ASCII characters" in result.output
    assert not text or text not in result.output


@pytest.mark.parametrize(("expires", "seconds"), [("1h", 3600), ("7d", 7 * 86400), ("90s", 90), ("1.5h", 5400)])
def test_a_duration_starts_now(expires: str, seconds: int) -> None:
    before = time.time()
    found = covered(run(URL, "--expires", expires))
    assert found is not None
    assert before + seconds <= (found.expires or 0) <= time.time() + seconds + 1


@pytest.mark.parametrize("expires", ["1893456000", "2030-01-01T00:00:00Z", "2030-01-01T01:00+01:00"])
def test_a_time_is_written_in_unix_seconds(expires: str) -> None:
    assert covered(run(URL, "--expires", expires)) == Verified(b"width=400", 1893456000)


def test_a_time_without_a_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    found = covered(run(URL, "--expires", "2030-01-01 02:00"))
    monkeypatch.undo()
    time.tzset()
    assert found == Verified(b"width=400", 1893456000)


@pytest.mark.parametrize(
    ("arguments", "secrets", "sentence"),
    [
        ((URL,), "", "there is no secret: set signing.secrets, or pass --secret-file"),
        (("img/a.jpg",), SECRET, 'expected a URL or a path that begins with /, but received "img/a.jpg"'),
        ((URL, "--expires", "soon"), SECRET, "--expires: expected 1h, Unix seconds or 2030-12-31T18:00"),
        ((URL, "--expires", "3600"), SECRET, "--expires: expected a time in the future, but received '3600'"),
        ((URL, "--expires", "2020-01-01"), SECRET, "--expires: expected a time in the future"),
    ],
)
def test_a_mistake_is_explained(arguments: tuple[str, ...], secrets: str, sentence: str) -> None:
    result = run(*arguments, secrets=secrets)
    assert result.exit_code in {1, 2}
    assert sentence in " ".join(result.output.split())
