"""Signing in on a real server of two processes: the first account, cookies, and sessions that commands end."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.prefork import PATIENCE
from tests.servers import Server, imgserve, server, until

PASSWORD, NEW = "correct horse battery", "staples and paper clips"


@pytest.fixture
def originals(tmp_path: Path) -> Path:
    """Return an empty folder without accounts."""
    folder = tmp_path / "originals"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a server to which each test adds accounts of its own."""
    return tmp_path_factory.mktemp("originals")


@pytest.fixture(scope="module")
def served(known: Path) -> Iterator[Server]:
    with server(known, "--workers", "2", env={"IMGSERVE_RATES__LOGINS": "1000/minute"}) as found:
        yield found


def browser(served: Server) -> httpx2.Client:
    """Return a browser without cookies, which says what a browser says about its own pages."""
    headers = {"sec-fetch-site": "same-origin", "connection": "close"}  # a new connection, and so any process
    return httpx2.Client(base_url=served.base_url, headers=headers, timeout=PATIENCE)


def command(originals: Path, *arguments: str, words: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command of accounts, with a password on its standard input."""
    return imgserve("accounts", *arguments, originals, cwd=originals, words=words)


def login(client: httpx2.Client, name: str, password: str = PASSWORD) -> httpx2.Response:
    return client.post("/admin/login", data={"name": name, "password": password})


def is_signed_in(client: httpx2.Client) -> bool:
    return "Signed in as" in client.get("/admin/").text


def signed_in(served: Server, name: str, password: str = PASSWORD) -> httpx2.Client:
    """Return a browser in which a person has signed in, when every process knows that."""
    person = browser(served)
    until(lambda: login(person, name, password).status_code == 303)
    until(lambda: all(is_signed_in(person) for _ in range(8)))
    return person


def test_the_first_account_is_created_by_the_link_of_the_first_start(originals: Path) -> None:
    with server(originals, "--workers", "2") as served:
        link = served.wait_for("/admin/setup?token=").strip()
        token = link.partition("token=")[2]
        assert link.startswith(f"{served.base_url}/admin/setup")
        assert command(originals, "list").stderr == "there are no accounts yet\n"
        person = browser(served)
        assert token in person.get(f"/admin/setup?token={token}").text
        fields = {"token": token, "name": "jane", "password": PASSWORD}
        assert person.post("/admin/setup", headers={"sec-fetch-site": "cross-site"}, data=fields).status_code == 403
        created = person.post("/admin/setup", data=fields)
        assert created.status_code == 303
        (cookie,) = [line for line in created.headers.get_list("set-cookie") if line.startswith("imgserve=")]
        assert set(cookie.split("; ")[1:]) == {"Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=604800"}
        until(lambda: all(is_signed_in(person) for _ in range(8)))
        assert browser(served).post("/admin/setup", data={**fields, "name": "jack"}).status_code == 404
        assert "admin   jane" in command(originals, "list").stdout
    assert PASSWORD.encode() not in b"".join(path.read_bytes() for path in (originals / ".imgserve").glob("catalog*"))
    with server(originals) as again:
        assert "Admin     " in again.wait_for("Admin  ")
        assert not any("token=" in line for line in again.lines)


def test_commands_end_sessions_in_all_processes(known: Path, served: Server) -> None:
    created = command(known, "create", "jane", "--role", "editor", words=f"{PASSWORD}\n")
    assert (created.returncode, created.stderr) == (0, "")
    for arguments, words in (
        (("password", "jane"), f"{NEW}\n"),
        (("role", "jane", "admin"), ""),
        (("remove", "jane"), ""),
    ):
        person = signed_in(served, "jane", PASSWORD if arguments[0] == "password" else NEW)
        done = command(known, *arguments, words=words)
        assert (done.returncode, done.stderr) == (0, "")
        until(lambda person=person: not any(is_signed_in(person) for _ in range(12)))  # type: ignore[misc]  # mypy does not infer such a lambda
    assert login(browser(served), "jane", NEW).status_code == 403


def test_signing_out_ends_the_session_and_its_copies_in_all_processes(known: Path, served: Server) -> None:
    command(known, "create", "jill", "--role", "admin", words=PASSWORD)
    person, other, thief = signed_in(served, "jill"), signed_in(served, "jill"), browser(served)
    thief.cookies.update(person.cookies)
    assert all(is_signed_in(thief) for _ in range(8))
    token = person.get("/admin/account").text.partition('name="token" value="')[2].partition('"')[0]
    assert person.post("/admin/logout", data={"token": token}).status_code == 303
    assert not person.cookies.get("imgserve")
    until(lambda: not any(is_signed_in(thief) for _ in range(12)))
    assert [thief.get("/api/accounts").status_code for _ in range(8)] == [401] * 8
    assert all(is_signed_in(other) for _ in range(8))


@pytest.mark.parametrize(
    ("arguments", "words", "message"),
    [
        (("create", "jane", "--role", "admin"), "short\n", "at least 12 characters"),
        (("create", "a b", "--role", "admin"), PASSWORD, "The name needs"),
        (("create", "jane", "--role", "king"), PASSWORD, "'king' is not one of"),
        (("password", "jane"), PASSWORD, "There is no account with this name"),
        (("remove", "jane"), "", "There is no account with this name"),
    ],
)
def test_mistakes_on_the_command_line(originals: Path, arguments: tuple[str, ...], words: str, message: str) -> None:
    done = command(originals, *arguments, words=words)
    assert done.returncode != 0
    assert message in done.stderr


def test_a_new_link_replaces_the_former_one(originals: Path) -> None:
    with server(originals) as served:
        former = served.wait_for("/admin/setup?token=").strip().removeprefix(served.base_url)
        link = command(originals, "link").stdout.strip()
        person = browser(served)
        assert (person.get(former).status_code, person.get(link).status_code) == (404, 200)


def test_a_proxy_that_is_trusted_names_the_person(originals: Path) -> None:
    env = {"IMGSERVE_ACCESS__PROXY_USER_HEADER": "Remote-User", "IMGSERVE_ACCESS__PROXY_ROLE": "viewer"}
    for trusted, status in (("127.0.0.1", 200), ("192.0.2.1", 303)):
        with server(originals, env={**env, "IMGSERVE_SERVER__TRUSTED_PROXIES": trusted}) as served:
            headers = {"remote-user": "jane", "x-forwarded-for": "203.0.113.7"}
            assert browser(served).get("/admin/", headers=headers).status_code == status
            assert browser(served).get("/admin/").status_code == 303


def test_behind_tls_the_cookie_is_secure_and_bound_to_the_host(known: Path, served: Server) -> None:
    command(known, "create", "vera", "--role", "viewer", words=PASSWORD)
    signed_in(served, "vera")
    forwarded = {"x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.7", "host": "images.example.com"}
    person = browser(served)
    person.headers.update(forwarded)
    answer = login(person, "vera")
    cookies = {line.partition("=")[0]: line for line in answer.headers.get_list("set-cookie")}
    assert set(cookies) == {"__Host-imgserve", "__Host-imgserve-device"}
    assert all(line.endswith("; Secure") for line in cookies.values())


def test_guesses_are_limited_across_processes(originals: Path) -> None:
    with server(originals, "--workers", "2", env={"IMGSERVE_RATES__LOGINS": "4/hour"}) as served:
        statuses = [login(browser(served), "jane", "guess").status_code for _ in range(6)]
    assert statuses == [403] * 4 + [429] * 2
    codes = [json.loads(line)["code"] for line in served.lines if line.startswith("{")]
    assert sorted(codes) == ["login_failed"] * 4 + ["rate_limited"] * 2


def test_an_open_stream_of_events_does_not_delay_the_stop(originals: Path) -> None:
    """The server waits an hour for open responses; without an end to the stream, the test would time out."""
    assert command(originals, "create", "jane", "--role", "viewer", words=PASSWORD).returncode == 0
    with server(originals, env={"IMGSERVE_SERVER__GRACE": "1h"}) as served, browser(served) as person:
        assert login(person, "jane").status_code == 303
        with person.stream("GET", "/admin/events") as stream:
            events = stream.iter_lines()
            assert next(events) == "event: points"
            served.process.terminate()
            assert "event: error" not in list(events)
