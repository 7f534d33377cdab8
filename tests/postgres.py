"""A PostgreSQL server of a test's own: real binaries, a temporary folder, 127.0.0.1 only."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

BINARIES = Path("/usr/lib/postgresql")  # Debian's place, one folder a version
USER, PASSWORD = "accidents", "a-secret-of-the-tests"


class PostgresServer:
    """A cluster that can be stopped, started and frozen."""

    def __init__(self, programs: Path, folder: Path, account: str | None) -> None:
        self._programs, self._data, self._account = programs, folder / "data", account
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.log = self._data / "server.log"
        secret = folder / "password"
        secret.write_text(PASSWORD)
        self._run("initdb", "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "-N")

    def address(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The address of an empty database."""
        name = f"log_{uuid.uuid4().hex}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address(name)

    def start(self) -> None:
        # No fsync: it is for the day that the machine goes down, and no test takes it down. What the server
        # has committed outlives the server all the same; but after a crash it need not flush every database.
        here = f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self._run("pg_ctl", "-w", "-o", f"{here} -c fsync=off", "-l", str(self.log), "start")

    def stop(self, how: str = "fast") -> None:
        """`immediate` is a crash: what was not flushed is lost."""
        self._run("pg_ctl", "-w", "-m", how, "stop")

    def send(self, number: signal.Signals) -> None:
        """A signal to the server and all its backends (SIGSTOP freezes them)."""
        leader = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        for process in (leader, *map(int, children)):
            with suppress(ProcessLookupError):  # a backend may end once its children are listed
                os.kill(process, number)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, "-D", self._data, *arguments],
            user=self._account,
            group=self._account,
            extra_groups=None if self._account is None else (),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd="/",
        )
        assert done.returncode == 0, f"{program}: {done.stdout}"


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A started server, gone with its folder afterwards; skips the test where PostgreSQL is not installed."""
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    programs = found[-1].parent if found else Path(str(on_path)).resolve().parent
    account = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:  # not tmp_path: root's, closed to others
        folder = Path(name)
        if account:
            shutil.chown(folder, account, account)
        server = PostgresServer(programs, folder, account)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
