"""`python run.py ...` without the six seconds of importing: a process that has imported, and forks for each.

There is one such process a test worker; it is started when it is first asked for, and ends with the worker.
It imports what the files of our rooms import of other packages and does nothing else: no store is opened, no
thread of Python's is started. What it forks is as a new Python is: folder, environment, words, standard
output and error, a session of its own where asked for, signals, random numbers, exit code, and the usual end
of an interpreter. The project's own modules are imported after the fork, from the copy that is tested; what
they start, they start as ever.

What differs: `ps` shows this file's name; packages are loaded that a command would not have loaded; SQLite
does not wait for the disk unless it is told to (tests/unflushed.py); and ZENML_CUSTOM_SOURCE_ROOT is set
beforehand, to what `prepare_environment` sets it to, as that refuses to work after `import zenml` otherwise.
An environment that differs in more than `READ_LATER` has a process of its own: packages read theirs when
they are imported. Tests of the start itself start a Python: tests/commands/test_start.py, and the first run
of tests/pipelines/test_train.py. So does everything where a process cannot be forked and waited for so:
`CAN_FORK`.

Where `make`, DVC or a workflow's shell says `python`, `environment_that_forks` puts one on their way that
asks for a fork. It is of another group of processes than who asks: Ctrl-C there would not reach it.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib.metadata
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("accidents", "commands", "engine", "steps", "pipelines", "stacks")
# What ZenML imports when it opens a store and looks at a stack: two seconds more.
LATER = {"zenml.zen_stores.sql_zen_store", "zenml.orchestrators.local", "zenml.integrations.mlflow.flavors"}
_RUNNING: list[subprocess.Popen[bytes]] = []  # until this process ends: one that is let go of warns
CAN_FORK = hasattr(os, "fork") and hasattr(os, "pidfd_open")
# Variables that no package reads when it is imported: ours, pytest's, ZenML's of its store.
READ_LATER = ("ACCIDENTS_", "PYTEST_", "ZENML_STORE_", "ZENML_CONFIG_PATH", "PATH")
# A `python` that has a fork do what is known to be a command that ends; anything else it is itself.
MODULES = [["-m", "accidents.dvc_stages"], ["-m", "benchmarks.compare"]]
CLIENT = """#!/bin/sh
'''exec' '{python}' -IS "$0" "$@"
' '''
import json, os, socket, sys
words = sys.argv[1:]
if words[:1] != ["run.py"] and words[:2] not in {modules} or words[1:2] == ["serve"]:
    os.execv({real!r}, [{real!r}, *words])
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
    asked.connect({address!r})
    told = [words, os.getcwd(), dict(os.environ), False, {shown!r}]
    socket.send_fds(asked, [json.dumps(told).encode()], [1, 2])
    sys.exit(int(asked.recv(32) or 1))
"""


class Process:
    """A fork of the process that has imported, with what tests use of `subprocess.Popen`."""

    def __init__(
        self, words: list[str], cwd: Path, env: Mapping[str, str], merged: bool = False, session: bool = False
    ) -> None:
        """`merged`: what it says on standard error is read with the rest."""
        self.returncode: int | None = None
        pipes = [os.pipe() for _ in range(1 if merged else 2)]
        self._read = [open(out, encoding="utf-8") for out, _ in pipes]  # noqa: SIM115
        self.stdout = self._read[0]
        request = json.dumps([words, str(cwd), dict(env), session, sys.executable]).encode()
        outputs = [pipes[0][1], pipes[-1][1]]
        self.pid, self._end = _fork(_imported(_of_packages(env)), request, outputs)
        for number in {*outputs}:
            os.close(number)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(self._end.recv(32)))
            self._end.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it says until it has ended; on standard error nothing if that is merged."""
        readers = ThreadPoolExecutor(2)
        said = [readers.submit(one.read) for one in self._read]
        readers.shutdown(wait=False)
        try:
            out, err = [*(one.result(timeout) for one in said), ""][:2]
        except TimeoutError:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
        self.wait(timeout)
        for one in self._read:
            one.close()
        return out, err

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


@contextlib.contextmanager
def environment_that_forks(folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Make a virtual environment that is this one, but that its `python` forks while we are here.

    So do commands of run.py that end by themselves, and `MODULES`. For packages their environment is `env`,
    whatever `make` or a shell has added to it.
    """
    (folder / "bin").mkdir(parents=True)
    prefix, client = Path(sys.prefix), folder / "bin" / "python"
    for part in [*prefix.iterdir(), *(prefix / "bin").iterdir()]:
        if part.name != "bin":  # stamps of `make` too: what is installed here
            (folder / part.relative_to(prefix)).symlink_to(part)
    if not CAN_FORK:
        yield
        return
    client.unlink()
    with (
        tempfile.TemporaryDirectory() as place,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked,
    ):
        address = f"{place}/forks"  # of at most 108 bytes
        client.write_text(CLIENT.format(
            python=sys.executable, real=str(client.with_name("python3")), shown=str(client),
            modules=MODULES, address=address,
        ), encoding="utf-8")  # fmt: skip
        client.chmod(0o755)
        asked.bind(address)
        asked.listen()
        threading.Thread(target=_answer, args=(asked, _imported(_of_packages(env))), daemon=True).start()
        try:
            yield
        finally:
            asked.shutdown(socket.SHUT_RDWR)


def _answer(listening: socket.socket, imported: socket.socket) -> None:
    """Fork for each who asks, until nobody listens any more."""
    with contextlib.suppress(OSError):
        while True:
            asked, _ = listening.accept()
            threading.Thread(target=_answer_one, args=(asked, imported), daemon=True).start()


def _answer_one(asked: socket.socket, imported: socket.socket) -> None:
    """Tell the exit code as a shell does."""
    with asked, contextlib.suppress(BrokenPipeError):
        request, outputs, _, _ = socket.recv_fds(asked, 1 << 20, 2)
        _, end = _fork(imported, request, outputs)
        for number in outputs:
            os.close(number)
        with end:
            code = os.waitstatus_to_exitcode(int(end.recv(32)))
        asked.send(str(code if code >= 0 else 128 - code).encode())


def _fork(imported: socket.socket, request: bytes, outputs: list[int]) -> tuple[int, socket.socket]:
    """Have a process fork; return the fork's id, and where its status is told when it has ended."""
    end, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(imported, [request], [theirs.fileno(), *outputs])
    return int(end.recv(32)), end


def _of_packages(env: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """What other packages may read of an environment; pytest changes its own with every test."""
    return frozenset((name, value) for name, value in env.items() if not name.startswith(READ_LATER))


@cache
def _imported(env: frozenset[tuple[str, str]]) -> socket.socket:
    """Start the process that imports and forks; where it is asked."""
    from stacks.environment import READ_AT_IMPORT

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _RUNNING.append(subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno())], cwd="/", env={**READ_AT_IMPORT, **dict(env)},
        stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
    ))  # fmt: skip
    theirs.close()
    return ours


def _import_packages() -> None:
    gc.disable()
    names = set(LATER)
    for file in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                names |= {one.name for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
    for name in sorted(names, reverse=True):  # ZenML first, as in a command
        if not (ROOT / name.partition(".")[0]).is_dir():
            with contextlib.suppress(ImportError):  # of what only servers have
                importlib.import_module(name)
    # Of ZenML's tables: SQLAlchemy's own late part of importing.
    sys.modules["sqlalchemy.orm"].configure_mappers()
    importlib.import_module("unflushed")  # this file's neighbour
    # Which package brings which module: ZenML and MLflow each look through all of them, once a process.
    importlib.metadata.packages_distributions = cache(importlib.metadata.packages_distributions)
    importlib.metadata.packages_distributions()
    sys.modules["mlflow.utils.requirements_utils"]._init_modules_to_packages_map()
    gc.freeze()
    gc.enable()


def _next_fork(requests: socket.socket) -> tuple[list[str], str, dict[str, str], bool, str]:
    """Fork for each request, and tell its end, until the tests end. Returns in a fork: what it is to be."""
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for ready in select.select([requests, *running], [], [])[0]:
            if ready is not requests:
                pid, end = running.pop(ready)
                _, status = os.waitpid(pid, 0)
                os.close(ready)
                with end, contextlib.suppress(BrokenPipeError):  # nobody waited for it
                    end.send(str(status).encode())
                continue
            request, numbers, _, _ = socket.recv_fds(requests, 1 << 20, 3)
            if not request:
                os._exit(0)
            end = socket.socket(fileno=numbers[0])
            pid = os.fork()
            if pid == 0:
                for number, taken in zip(numbers[1:], (1, 2), strict=True):
                    os.dup2(number, taken)
                    os.close(number)
                for one in (requests, end, *(end for _, end in running.values())):
                    one.close()
                return json.loads(request)
            for number in numbers[1:]:
                os.close(number)
            end.send(str(pid).encode())
            running[os.pidfd_open(pid)] = pid, end


def _become(words: list[str], cwd: str, env: dict[str, str], session: bool, executable: str) -> None:
    """`python WORDS`: a file and its words, `-c` and code, or `-m` and a module."""
    if session:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    root = str(Path(cwd).resolve())
    os.environ.update(env | {"ZENML_CUSTOM_SOURCE_ROOT": root})
    sys.modules["zenml.utils.source_utils"].set_custom_source_root(root)  # as it would have read it
    sys.modules["numpy"].random.seed()  # Python's own is seeded anew by the fork
    sys.executable = executable
    sys.orig_argv[:] = [executable, *words]
    if words[0] == "-m":
        sys.argv, sys.path[0] = words[1:], cwd
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        return
    main = types.ModuleType("__main__")
    if words[0] == "-c":
        sys.argv, sys.path[0], name, code = ["-c", *words[2:]], "", "<string>", words[1]
    else:
        name = os.path.join(cwd, words[0])
        sys.argv, sys.path[0] = words, os.path.dirname(name)
        main.__file__, code = name, Path(name).read_text(encoding="utf-8")
    sys.modules["__main__"] = main
    exec(compile(code, name, "exec"), vars(main))


if __name__ == "__main__":
    asked = socket.socket(fileno=int(sys.argv[1]))
    _import_packages()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests, and their end ends this
    _become(*_next_fork(asked))
