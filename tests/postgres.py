"""A PostgreSQL server of its own, thrown away afterwards: Debian's binaries, a temporary folder, a socket in it."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MISSING = "PostgreSQL is not installed here: apt-get install postgresql"
_OPTIONS = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=60 -c shared_buffers=64MB"


def programs() -> Path | None:
    """Find the folder of the newest initdb; Debian keeps it out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class Server:
    """A running server that can be stopped, started again and given new databases."""

    def __init__(self, programs: Path, folder: Path, account: str | None) -> None:
        self._programs = programs
        self._folder = folder
        self._account = account
        self._group = pwd.getpwnam(account).pw_gid if account else None
        locale = ["--locale=C.UTF-8", "--encoding=UTF8", "--auth=trust", "--username=imgserve", "--no-sync"]
        self._run("initdb", f"--pgdata={folder}/data", *locale)

    def start(self) -> None:
        log = ("-w", "-l", f"{self._folder}/log", "-o", f"{_OPTIONS} -k {self._folder}")
        self._run("pg_ctl", f"--pgdata={self._folder}/data", *log, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", f"--pgdata={self._folder}/data", "-w", "-m", mode, "stop")

    def new_database(self) -> str:
        """Make an empty database; tell its address."""
        name = f"imgserve_{secrets.token_hex(6)}"
        self._run("createdb", f"--host={self._folder}", "--username=imgserve", "--strategy=wal_log", name)
        return f"postgresql://imgserve@/{name}?host={self._folder}"

    def drop_database(self, url: str) -> None:
        name = url.rpartition("/")[0] and url.split("@/")[1].partition("?")[0]
        self._run("dropdb", f"--host={self._folder}", "--username=imgserve", "--force", name)

    def _run(self, program: str, *arguments: str) -> None:
        # Not captured through pipes: the server would inherit them, and reading them would never end.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [self._programs / program, *arguments], user=self._account, group=self._group, cwd=self._folder,
                env=os.environ | {"LC_ALL": "C.UTF-8"}, stdout=output, stderr=output, check=False,
            )  # fmt: skip
            output.seek(0)
            assert done.returncode == 0, f"{program}: {output.read().decode(errors='replace')}"


@contextmanager
def serving() -> Iterator[Server]:
    """Start a server; it refuses to run as root, and then runs as the account that Debian made for it, or nobody."""
    where = programs()
    assert where is not None, MISSING
    folder, account = Path(tempfile.mkdtemp(prefix="imgserve-postgres-")), _account()
    if account:
        os.chown(folder, pwd.getpwnam(account).pw_uid, pwd.getpwnam(account).pw_gid)
    try:
        server = Server(where, folder, account)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _account() -> str | None:
    if os.geteuid() != 0:
        return None
    return next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
