"""The command line as a person meets it: real commands, their words and their exit statuses."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import pyvips
import yaml

import imgserve as package
from tests.pictures import color_at, encoded, near, opened, quarters
from tests.prefork import PATIENCE, ROOT
from tests.servers import environment, imgserve, server, settled

KEY = "img_" + "k" * 43
PNG = encoded(quarters(), "png")
SAMPLES = ROOT / "static" / "samples"


@pytest.fixture
def shoe(tmp_path: Path) -> Path:
    return settled(tmp_path / "shoe.jpg", encoded(quarters(), "jpg"))


@pytest.mark.parametrize(
    ("name", "parameters", "magic"),
    [
        ("a.jpg", "width=100", b"\xff\xd8\xff"),
        ("a.webp", "width=100&quality=50", b"RIFF"),
        ("a.avif", "width=100", b"\0\0\0"),
        ("a.tiff", "width=100", b"II*\0"),
        ("a.bin", "width=100&format=png", b"\x89PNG"),
        ("a.png", "width=100&format=webp", b"RIFF"),
    ],
)
def test_render_makes_one_picture_in_the_format_of_its_name(
    shoe: Path, tmp_path: Path, name: str, parameters: str, magic: bytes
) -> None:
    done = imgserve("render", shoe, tmp_path / name, parameters, cwd=tmp_path)
    data = (tmp_path / name).read_bytes()
    assert (done.returncode, done.stdout) == (0, "")
    assert data.startswith(magic)
    assert (opened(data).width, opened(data).height) == (100, 75)
    assert "100x75" in done.stderr


def test_render_writes_to_standard_output(shoe: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "imgserve", "render", str(shoe), "-", "width=50&format=png"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=True)
    assert opened(done.stdout).width == 50
    assert list(tmp_path.iterdir()) == [shoe]


def test_render_obeys_the_settings(shoe: Path, tmp_path: Path) -> None:
    (tmp_path / "imgserve.yaml").write_text("limits: {output_side: 60}\npresets: {card: width=50&height=50}\n")
    imgserve("render", shoe, "large.webp", "width=300&fit=max", cwd=tmp_path)
    imgserve("render", shoe, "card.png", "preset=card", cwd=tmp_path)
    large, card = (opened((tmp_path / name).read_bytes()) for name in ("large.webp", "card.png"))
    assert (large.width, large.height) == (60, 45)
    assert (card.width, card.height) == (50, 50)


def test_render_reads_the_mark_from_a_file(shoe: Path, tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(encoded(pyvips.Image.black(8, 6), "png"))
    parameters = "width=60&mark=logo.png&mark-w=1.0&mark-pad=0&mark-align=center"
    imgserve("render", shoe, "marked.png", parameters, cwd=tmp_path)
    assert near(color_at(opened((tmp_path / "marked.png").read_bytes()), 0.5, 0.5)[:1], (0,), 2)
    absent = imgserve("render", shoe, "other.png", "mark=absent.png", cwd=tmp_path)
    assert (absent.returncode, "absent.png" in absent.stderr) == (2, True)


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("shoe.jpg", "width=-1&widht=100&preset=none", "widht"),
        ("notes.txt", "width=100", "format"),
        ("half.jpg", "width=100", "damaged"),
    ],
)
def test_render_reports_a_mistake_in_one_sentence(
    shoe: Path, tmp_path: Path, name: str, parameters: str, told: str
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "half.jpg").write_bytes(shoe.read_bytes()[:600])
    done = imgserve("render", name, "out.png", parameters, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("imgserve: ")
    assert len(done.stderr.splitlines()) == 1
    assert told in done.stderr
    assert not (tmp_path / "out.png").exists()


def test_render_reports_where_it_cannot_write(shoe: Path, tmp_path: Path) -> None:
    done = imgserve("render", shoe, tmp_path / "absent/out.png", "width=10", cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "absent/out.png" in done.stderr


def test_render_reports_that_there_is_no_original(tmp_path: Path) -> None:
    done = imgserve("render", "absent.jpg", "out.png", cwd=tmp_path)
    assert done.returncode == 2
    assert "absent.jpg" in done.stderr
    assert "Traceback" not in done.stderr


def test_config_example_is_a_config_that_checks_fine(tmp_path: Path) -> None:
    example = imgserve("config", "example", cwd=tmp_path)
    assert example.returncode == 0
    (tmp_path / "imgserve.yaml").write_text(example.stdout)
    done = imgserve("config", "check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "imgserve.yaml: no mistakes\n")


def test_config_schema_names_every_section_of_the_example(tmp_path: Path) -> None:
    schema = json.loads(imgserve("config", "schema", cwd=tmp_path).stdout)
    sections = yaml.safe_load(imgserve("config", "example", cwd=tmp_path).stdout)
    assert {*sections, "sites"} == schema["properties"].keys()  # there is no default site


def test_config_check_lists_every_mistake_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("server:\n  port: many\ncache:\n  disk_byte: 1\n")
    done = imgserve("config", "check", "--config", "my.yaml", cwd=tmp_path, IMGSERVE_SERVER__PROT="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "my.yaml:2: server.port" in done.stderr
    assert "my.yaml:4: cache.disk_byte" in done.stderr
    assert "disk_bytes" in done.stderr
    assert 'IMGSERVE_SERVER__PROT: no setting has this name, did you mean "IMGSERVE_SERVER__PORT"?' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistyped_environment_variable_keeps_the_server_from_starting(tmp_path: Path) -> None:
    done = imgserve("serve", tmp_path, cwd=tmp_path, IMGSERVE_CACHE__DISK_BYTE="10GB")
    assert done.returncode == 1
    assert "IMGSERVE_CACHE__DISK_BYTES" in done.stderr


def test_serve_needs_a_folder_that_is_there(tmp_path: Path) -> None:
    done = imgserve("serve", tmp_path / "absent", "--port", "0", cwd=tmp_path)
    assert done.returncode == 1
    assert str(tmp_path / "absent") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--port", "99999"], "--port"),
        (["--workers", "0"], "--workers"),
        (["--cache", "."], "inside"),
    ],
)
def test_serve_reports_which_option_is_wrong(tmp_path: Path, options: list[str], told: str) -> None:
    done = imgserve("serve", tmp_path, *options, cwd=tmp_path)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_reports_that_a_port_is_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = imgserve("serve", tmp_path, "--port", port, cwd=tmp_path, IMGSERVE_CACHE__FOLDER=str(tmp_path / ".c"))
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; is another server running?" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".imgserve/admin-key").exists()  # its key was not shown


def test_serve_reports_what_to_open(shoe: Path) -> None:
    with server(shoe.parent) as served:
        served.wait_for(f"{served.base_url}/img/shoe.jpg?")
        shown = [word for line in served.lines for word in line.split() if "/img/" in word]
        assert [served.client.get(address).status_code for address in shown] == [200]


def test_the_first_line_says_where_originals_and_data_are(shoe: Path) -> None:
    with server(shoe.parent) as served:
        assert f"originals in {shoe.parent}, data in {shoe.parent}/.imgserve (--data" in served.lines[0]


def test_the_log_names_the_settings_file(shoe: Path, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("log: {access: off}")
    with server(shoe.parent, "--config", tmp_path / "my.yaml") as served:
        assert f"settings: {tmp_path}/my.yaml " in served.lines[1]


def test_the_first_start_shows_a_key_to_paste_and_a_reset_replaces_it_at_once(shoe: Path) -> None:
    with server(shoe.parent) as served:
        served.wait_for("New key   ")
        (line,) = [line.strip() for line in served.lines if line.startswith("export ")]
        address, _, key = line.removeprefix("export IMGSERVE_SERVER=").partition(" IMGSERVE_KEY=")
        assert address == served.base_url
        served.wait_for(f"API docs  {address}/docs/api")
        (command,) = [line.split("   ", 1)[1].split() for line in served.lines if line.startswith("New key")]
        assert command == ["imgserve", "keys", "reset", str(shoe.parent)]
        done = imgserve(*command[1:], cwd=shoe.parent)
        (new,) = done.stdout.splitlines()
        status = [served.ask("GET", "/api/stats", x_api_key=key).status_code]
        status.append(served.ask("GET", "/api/stats", x_api_key=new.removeprefix("export IMGSERVE_KEY=")).status_code)
        assert (done.returncode, done.stderr, status) == (0, "", [401, 200])
    with server(shoe.parent) as served:
        served.wait_for("API key   shown at the first start")
        assert not any(line.startswith("export ") for line in served.lines)


@pytest.mark.parametrize(
    ("folder", "settings", "told"),
    [("absent", {}, "there is no folder"), (".", {"IMGSERVE_ACCESS__ADMIN_KEY": KEY}, "access.admin_key")],
)
def test_a_key_that_no_server_would_use_is_not_created(
    tmp_path: Path, folder: str, settings: dict[str, str], told: str
) -> None:
    done = imgserve("keys", "reset", folder, cwd=tmp_path, **settings)
    assert (done.returncode, done.stdout, told in done.stderr) == (1, "", True)
    assert list(tmp_path.iterdir()) == []


def test_data_can_be_elsewhere_while_uploads_and_trash_stay_with_the_originals(tmp_path: Path) -> None:
    """Elsewhere may be another file system, and originals are moved by renaming."""
    photos, data = tmp_path / "photos", tmp_path / "data"
    photos.mkdir()
    with server(photos, "--data", data, env={"IMGSERVE_ACCESS__ADMIN_KEY": KEY}) as served:
        assert f"data in {data}" in served.lines[0]
        assert (data / "catalog.sqlite").is_file()
        assert list(photos.iterdir()) == []
        address, headers = f"{served.base_url}/api/images/shoe.png", {"x-api-key": KEY, "content-type": "image/png"}
        answers = [served.client.put(address, content=PNG, headers=headers)]
        answers.append(served.client.delete(address, headers=headers))
        assert [answer.status_code for answer in answers] == [201, 200]
        assert sorted(path.name for path in (photos / ".imgserve").iterdir()) == ["incoming", "trash"]


def test_ctrl_c_ends_a_server_in_good_order(shoe: Path) -> None:
    with server(shoe.parent) as served:
        os.kill(served.process.pid, signal.SIGINT)
        assert served.process.wait(20) == 0
        assert not any("Traceback" in line for line in served.lines)


def test_an_empty_folder_is_served(tmp_path: Path) -> None:
    with server(tmp_path) as served:
        assert [served.get(target).status_code for target in ("/", "/readyz", "/img/a.jpg")] == [200, 200, 404]
        assert "copy some into the folder" in served.wait_for("Pictures  none yet")


def test_no_damaged_file_is_an_example(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG[:-20])
    (tmp_path / "b.jpg").write_bytes(b"text")
    (tmp_path / "c.png").write_bytes(PNG)
    with server(tmp_path) as served:
        served.wait_for("/img/c.png?")
        assert not [line for line in served.lines if "/img/a.png" in line or "/img/b.jpg" in line]


def test_the_version_is_reported(tmp_path: Path) -> None:
    done = imgserve("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"imgserve, version {package.__version__}\n")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["serve", "-h"]])
def test_help_is_given(tmp_path: Path, arguments: list[str]) -> None:
    done = imgserve(*arguments, cwd=tmp_path)
    assert "Usage:" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("group", ["accounts", "cache", "config", "keys", "presets"])
def test_the_list_of_commands_has_whole_sentences(tmp_path: Path, group: str) -> None:
    commands = imgserve(group, "--help", cwd=tmp_path).stdout.partition("Commands:")[2]
    assert commands
    assert "..." not in commands


@pytest.mark.parametrize(("word", "told"), [("serv", 'did you mean "serve"?'), ("sevre", '"serve"'), ("xyzzy", "")])
def test_an_unknown_command_is_reported_with_the_nearest_one(tmp_path: Path, word: str, told: str) -> None:
    done = imgserve(word, cwd=tmp_path)
    assert done.returncode == 2
    assert f"no command '{word}'" in done.stderr
    assert told in done.stderr


COMPLETIONS = {
    "bash": "source <(imgserve completion bash); COMP_WORDS=({words}); COMP_CWORD={index}; "
    '_imgserve_completion imgserve; printf "%s\\n" "${{COMPREPLY[@]}}"',
    "zsh": 'autoload -Uz compinit; compinit -u; compadd() {{ print -l -- "$@" }}; '
    "_describe() {{ print -l -- ${{(P)4}} }}; "
    'eval "$(imgserve completion zsh)"; words=({words}); CURRENT=$(({index} + 1)); _imgserve_completion',
    "fish": 'imgserve completion fish | source; complete -C "{words}"',
}


@pytest.mark.parametrize("shell", COMPLETIONS)
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("imgserve ser", "serve"),
        ("imgserve cache st", "stats"),
        ("imgserve find --pre", "--prefix"),
        ("imgserve find --ser", "--server"),
    ],
)
def test_a_shell_completes_commands_and_options(tmp_path: Path, shell: str, words: str, found: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command = tmp_path / "imgserve"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m imgserve "$@"\n')
    command.chmod(0o755)
    script = COMPLETIONS[shell].format(words=words, index=len(words.split()) - 1)
    done = subprocess.run(
        [shell, "-c", script],
        env=environment(PATH=f"{tmp_path}:{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert found in done.stdout, done.stderr


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_every_shell_has_a_script(tmp_path: Path, shell: str) -> None:
    done = imgserve("completion", shell, cwd=tmp_path)
    assert (done.returncode, "_IMGSERVE_COMPLETE" in done.stdout) == (0, True)


def test_an_error_of_the_system_is_a_sentence(shoe: Path, tmp_path: Path) -> None:
    done = imgserve("render", shoe, tmp_path / "absent/out.png", cwd=tmp_path)
    assert done.stderr == f"imgserve: {tmp_path}/absent/out.png: No such file or directory\n"


def test_samples_copies_the_committed_pictures_and_prints_their_paths(tmp_path: Path) -> None:
    done = imgserve("samples", tmp_path / "new" / "pictures", cwd=tmp_path)
    committed = {path.relative_to(SAMPLES): path.read_bytes() for path in SAMPLES.rglob("*.*")}
    copies = [Path(line) for line in done.stdout.splitlines()]
    assert (done.returncode, len(committed)) == (0, 7)
    assert {path.relative_to(tmp_path / "new" / "pictures"): path.read_bytes() for path in copies} == committed
