from pathlib import Path

import pytest

from benchmarks.peers import Commands, find, installed


def script(folder: Path, name: str, says: str) -> str:
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    file.chmod(0o755)
    return str(file)


def test_a_peer_that_is_missing_is_skipped_with_a_line_that_says_how_to_install_it() -> None:
    peers, skipped = installed(Commands())
    assert peers == []
    assert [line.partition(":")[0] for line in skipped] == ["thumbor", "ipx", "nginx with image_filter"]
    assert all("install" in line for line in skipped)


def test_a_named_command_goes_before_path(tmp_path: Path) -> None:
    named = script(tmp_path, "my-thumbor", "7.8.0")
    assert find(thumbor=named).thumbor == named


@pytest.mark.parametrize(
    ("kind", "says", "description", "path"),
    [
        ("thumbor", "Thumbor v7.8.0 (30-May-2026)", "thumbor 7.8.0", "/unsafe/700x0/a.jpg"),
        ("ipx", "3.1.1", "ipx 3.1.1", "/w_700,f_jpeg,q_80/a.jpg"),
        ("nginx", "nginx/1.22.1 --with-http_image_filter_module", "nginx 1.22.1", "/a.jpg?w=700"),
    ],
)
def test_a_peer_describes_its_version_and_its_addresses(
    tmp_path: Path, kind: str, says: str, description: str, path: str
) -> None:
    (peer, *others), _ = installed(Commands(**{kind: script(tmp_path, kind, says)}))
    assert peer.description.startswith(description)
    assert peer.path("a.jpg", 700) == path
    assert [other.name for other in others] == (["thumbor, baseline JPEG"] if kind == "thumbor" else [])


def test_an_nginx_that_cannot_resize_is_no_peer(tmp_path: Path) -> None:
    says = f"nginx/1.22.1 --modules-path={tmp_path} --with-http_image_filter_module=dynamic"
    peers, skipped = installed(Commands(nginx=script(tmp_path, "nginx", says)))
    assert peers == []
    assert len(skipped) == 3
