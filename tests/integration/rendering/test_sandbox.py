"""What a rendering process cannot do: tried in processes that are confined as a server confines them."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from imgserve.errors import ConfigError
from imgserve.model import file_version
from imgserve.pipeline.order import fast_encoders
from imgserve.rendering import pool, sandbox
from imgserve.rendering.pool import RenderingProcess
from imgserve.rendering.sandbox import SandboxState
from imgserve.rendering.syscalls import ARCHITECTURES, compiled
from imgserve.rendering.wire import ProcessLimits, Rendered, RenderJob
from imgserve.transform import Transform
from tests.pictures import encoded, noise

ROOT = Path(__file__).parents[3]
STATE = sandbox.supported()
needs_landlock = pytest.mark.skipif(not STATE.landlock, reason=f"this kernel does not confine files: {STATE}")
needs_seccomp = pytest.mark.skipif(not STATE.seccomp, reason=f"this kernel does not filter system calls: {STATE}")

TRY = """
import json, os, socket, subprocess, sys, threading
from imgserve.rendering.wire import ProcessLimits
from imgserve.rendering.worker import start
outside, port, parent, inherited = sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), socket.socket()
start(ProcessLimits())
results = {}
for action in json.loads(sys.argv[1]):
    try:
        exec(action)
        results[action] = "done"
    except OSError as error:
        results[action] = "denied" if error.errno in (1, 13) else str(error)
print(json.dumps(results))
"""


def attempts(actions: dict[str, str], folder: Path, port: int = 0) -> dict[str, str]:
    """Return what came of each action in one confined process: "done", "denied", or its error."""
    arguments = (json.dumps(list(actions.values())), str(folder), str(port), str(os.getpid()))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", TRY, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    results = json.loads(ended.stdout)
    return {name: results[action] for name, action in actions.items()}


FILE_ACTIONS = {
    "read a file": "open(outside + '/secret').read()",
    "list a folder": "os.listdir(outside)",
    "read the accounts": "open('/etc/passwd').read()",
    "read the environment of the server": "open(f'/proc/{parent}/environ').read()",
    "create a file": "open(outside + '/new', 'w')",
    "create a temporary file": "open('/tmp/imgserve-sandbox-test', 'x')",
    "change a file": "open(outside + '/secret', 'r+').write('x')",
    "remove a file": "os.unlink(outside + '/secret')",
    "rename a file": "os.rename(outside + '/secret', outside + '/other')",
    "create a link": "os.symlink('/etc/passwd', outside + '/link')",
    "create a folder": "os.mkdir(outside + '/folder')",
    "change imgserve": f"open({str(Path(sandbox.__file__))!r}, 'a')",
}
CALL_ACTIONS = {
    "create a socket": "socket.socket()",
    "create a local socket": "socket.socketpair()",
    "connect an inherited socket": "inherited.connect(('127.0.0.1', port))",
    "listen on an inherited socket": "inherited.bind(('127.0.0.1', 0))",
    "start a program": "subprocess.run(['/bin/true'])",
    "become another program": "os.execv('/bin/true', ['true'])",
    "start a process": "os.fork()",
    "send a signal": "os.kill(parent, 0)",
    "make a file readable for all": "os.chmod(outside + '/secret', 0o777)",
    "make it another's": "os.chown(outside + '/secret', os.getuid(), os.getgid())",
    "set times by path": "os.utime(outside + '/secret')",
}
ALLOWED = {
    "start a thread": "t = threading.Thread(target=int); t.start(); t.join()",
    "send a signal to itself": "os.kill(os.getpid(), 0)",
    "import a library": "import PIL.ImageDraw",
    "read the packaged fonts": f"open({str(ROOT / 'imgserve/pipeline/fonts/fonts.conf')!r}).read()",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


@needs_landlock
def test_no_file_outside_can_be_read_or_written(folder: Path) -> None:
    assert attempts(FILE_ACTIONS, folder) == dict.fromkeys(FILE_ACTIONS, "denied")
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("secret", "secret")]


@needs_seccomp
def test_there_is_no_network_no_other_process_and_no_change_of_rights(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        results = attempts(CALL_ACTIONS, folder, server.getsockname()[1])
    assert results == dict.fromkeys(CALL_ACTIONS, "denied")
    assert (folder / "secret").stat().st_mode & 0o777 == 0o600


def test_what_rendering_needs_is_possible(folder: Path) -> None:
    assert attempts(ALLOWED, folder) == dict.fromkeys(ALLOWED, "done")


@pytest.mark.skipif(not STATE.complete, reason=f"this kernel has no sandbox: {STATE}")
def test_a_picture_and_its_mezzanine_are_rendered_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGSERVE_ACCESS__ADMIN_KEY", "secret")
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(noise(2400, 1600), "jpg"))
    state = path.stat()
    version = file_version(state.st_mtime_ns, state.st_size)
    job = RenderJob(str(path), version, Transform(width=100, format="png"), store=tmp_path / "mezzanine")

    async def body() -> None:
        process = await RenderingProcess.launch(ProcessLimits(sandbox="required"))
        assert process.sandbox == str(STATE) == f"landlock abi {STATE.landlock}, seccomp"
        environment = Path(f"/proc/{process._child.pid}/environ").read_bytes()
        assert b"PATH=" in environment
        assert b"IMGSERVE" not in environment
        first = await process.render(job)
        assert isinstance(first, Rendered)
        assert first.storing
        await process.next_answer()
        second = await process.render(replace(job, store=None, mezzanine=job.store))
        assert isinstance(second, Rendered)
        assert (second.made_from, second.rendition.width) == ("mezzanine", 100)
        (tmp_path / "mezzanine").write_bytes(b"broken")
        third = await process.render(replace(job, store=None, mezzanine=job.store))
        assert isinstance(third, Rendered)
        assert third.made_from == "original"
        assert not (tmp_path / "mezzanine").exists(), "the server removes it"
        await process.end()

    asyncio.run(body())


def test_the_encoders_of_the_extra_work_inside_and_are_named_in_every_key(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(noise(300, 200), "jpg"))
    state = path.stat()
    version = file_version(state.st_mtime_ns, state.st_size)

    async def body() -> list[bytes]:
        process = await RenderingProcess.launch(ProcessLimits(sandbox="auto"))
        assert process.pipeline.endswith(fast_encoders())
        made = []
        for name in ("avif", "webp"):
            answer = await process.render(RenderJob(str(path), version, Transform(width=100, format=name)))
            assert isinstance(answer, Rendered)
            made.append(answer.rendition.data)
        await process.end()
        return made

    avif, webp = asyncio.run(body())
    assert b"MA1B" in avif[:48], "a brand that libavif writes, and libheif does not"
    assert webp[8:12] == b"WEBP"


def test_a_server_that_requires_a_sandbox_does_not_start_without(monkeypatch: pytest.MonkeyPatch) -> None:
    without = "from imgserve.rendering import sandbox; sandbox.ARCHITECTURES.clear()"
    monkeypatch.setattr(pool, "_COMMAND", pool._COMMAND.replace("main(int", f"{without}\nmain(int"))

    async def body(limits: ProcessLimits) -> str:
        process = await RenderingProcess.launch(limits)
        await process.end()
        return process.sandbox

    with pytest.raises(ConfigError, match=r"rendering\.sandbox: required, but the sandbox is .*no seccomp"):
        asyncio.run(body(ProcessLimits(sandbox="required")))
    assert "no seccomp (not for" in asyncio.run(body(ProcessLimits()))
    assert asyncio.run(body(ProcessLimits(sandbox="off"))) == "none: off"


@pytest.mark.parametrize(
    ("state", "text", "complete"),
    [
        (SandboxState(7, seccomp=True), "landlock abi 7, seccomp", True),
        (SandboxState(0, seccomp=True, reasons=("no Landlock (x)",)), "seccomp: no Landlock (x)", False),
        (SandboxState(reasons=("a", "b")), "none: a; b", False),
    ],
)
def test_a_state_is_one_line(state: SandboxState, text: str, *, complete: bool) -> None:
    assert (str(state), state.complete) == (text, complete)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_filter_fits_into_the_limits_of_the_kernel_and_names_each_call_once(name: str) -> None:
    architecture = ARCHITECTURES[name]
    numbers = [*architecture.denied.values(), *architecture.partly.values()]
    assert len(numbers) == len(set(numbers))
    assert len(compiled(architecture, 1)) // 8 <= 4096
