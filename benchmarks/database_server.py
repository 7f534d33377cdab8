"""A PostgreSQL server of a benchmark's own: a temporary folder, loopback only, flushing as in earnest."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accidents.errors import AccidentsError
from benchmarks.options import SkippedError

BINARIES = Path("/usr/lib/postgresql")  # Debian's place, one folder a version
# A server of 4 GiB, say; the rest is PostgreSQL's own.
SETTINGS = {
    "shared_buffers": "1GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
}


@dataclass(frozen=True)
class DatabaseServer:
    """`address`: of an empty database; `folder`: its files; `process`: its leader's id."""

    address: str
    folder: Path
    process: int


@contextmanager
def database_server(cores: Sequence[int] | None = None) -> Iterator[DatabaseServer]:
    """Start one, on these cores if any are said; it is gone with its files afterwards.

    Raises SkippedError where PostgreSQL is not installed, AccidentsError where it does not start.
    """
    versions = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    if not versions:
        raise SkippedError("it needs PostgreSQL's server: apt-get install postgresql")
    programs, account = versions[-1].parent, "postgres" if os.geteuid() == 0 else None  # it refuses root
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        if account:
            shutil.chown(name, account, account)
        data = Path(name) / "data"

        def run(program: str, *words: str) -> None:
            pinned = ["taskset", "-c", ",".join(map(str, cores))] if cores else []
            done = subprocess.run(
                [*pinned, programs / program, "-D", data, *words], user=account, group=account,
                extra_groups=None if account is None else (), cwd="/", stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            if done.returncode:
                raise AccidentsError(f"{program} ended with {done.returncode}; its log is in {data}.")

        run("initdb", "-U", "accidents", "-A", "trust", "-E", "UTF8")
        here = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "''", **SETTINGS}
        options = " ".join(f"-c {setting}={value}" for setting, value in here.items())
        run("pg_ctl", "-w", "-o", options, "-l", str(data / "server.log"), "start")
        try:
            leader = int((data / "postmaster.pid").read_text().split()[0])
            yield DatabaseServer(f"postgresql://accidents@127.0.0.1:{port}/postgres", data, leader)
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
