"""What tests/warm.py forks is as what Python starts: the other tests of this folder rely on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.conftest import Project
from tests.warm import CAN_FORK, Process, environment_that_forks

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CAN_FORK, reason="every command starts a Python")]

SEEN = """
import atexit, logging, os, random, signal, sys, threading
import own
atexit.register(print, "the usual end", flush=True)
print(own.__file__, sys.argv, sys.orig_argv, sys.path[0], __name__, globals().get("__file__"), os.getcwd())
print(sys.stdin.read(), sys.stdout.isatty(), sys.stdout.encoding, sys.stderr.line_buffering)
print([signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP)])
print(os.environ["ACCIDENTS_SEEN"], os.getpgid(0), threading.active_count(), sorted(os.sched_getaffinity(0)))
print("told", file=sys.stderr)
raise SystemExit(75)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").touch()
    (tmp_path / "seen.py").write_text(SEEN)
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    """The other tests' own: they need no second process that imports."""
    return Project(folder).environment


@pytest.mark.parametrize(
    "words", [["seen.py", "a", "--b"], ["-c", "exec(open('seen.py').read())", "a"], ["-m", "seen", "a"]]
)
def test_a_program_sees_the_same(folder: Path, words: list[str]) -> None:
    env = {**environment(folder), "ACCIDENTS_SEEN": "yes"}
    plain = subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True)
    assert plain.returncode == 75, plain.stderr
    forked = Process(words, folder, env)
    assert forked.communicate(60) == (plain.stdout, plain.stderr)
    assert forked.wait() == plain.returncode


TOLD = """
import os, sys
print(sys.argv[1:], os.environ["ACCIDENTS_SEEN"], sys.executable, "zenml" in sys.modules, flush=True)
os.kill(os.getpid(), 9) if "killed" in sys.argv else sys.exit(3)
"""


def test_a_python_that_a_shell_calls_forks_for_what_ends_by_itself(folder: Path) -> None:
    (folder / "run.py").write_text(TOLD)
    made, env = folder / "of its own", environment(folder)
    told = {**env, "PATH": f"{made / 'bin'}{os.pathsep}{env['PATH']}", "ACCIDENTS_SEEN": "yes"}

    def typed(line: str) -> str:
        done = subprocess.run(["sh", "-c", f"{line}; echo $?"], cwd=folder, env=told, capture_output=True)
        assert done.stderr == b""
        return done.stdout.decode()

    with environment_that_forks(made, env):
        python = made / "bin" / "python"
        assert typed("python run.py a '--b c'") == f"['a', '--b c'] yes {python} True\n3\n"
        assert typed("python run.py killed") == f"['killed'] yes {python} True\n137\n"
        assert typed("python run.py serve") == f"['serve'] yes {python}3 False\n3\n"
        assert typed("python -c 'import sys; print(sys.prefix)'") == f"{made}\n0\n"


def test_no_store_is_open_and_no_two_are_alike(folder: Path) -> None:
    code = """
import random, sys, numpy
from zenml.client import Client
from zenml.config.global_config import GlobalConfiguration
import mlflow
print(GlobalConfiguration.get_instance(), Client.get_instance(), mlflow.is_tracking_uri_set())
print(random.random(), numpy.random.random(), flush=True)
"""
    first, second = (Process(["-c", code], folder, environment(folder)).communicate(60) for _ in range(2))
    assert first[0].startswith("None None False"), first
    assert second[0].startswith("None None False"), second
    assert not set(first[0].split()[3:]) & set(second[0].split()[3:])


def test_it_is_waited_for_and_signalled_as_any_process(folder: Path) -> None:
    sleeping = Process(
        ["-c", "import time; print('up', flush=True); time.sleep(60)"],
        folder,
        environment(folder),
        session=True,
    )
    assert sleeping.stdout.readline() == "up\n"
    assert os.getsid(sleeping.pid) == sleeping.pid
    assert sleeping.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        sleeping.wait(0.1)
    with pytest.raises(subprocess.TimeoutExpired):
        sleeping.communicate(0.1)
    os.killpg(sleeping.pid, signal.SIGTERM)
    assert sleeping.wait(10) == -signal.SIGTERM
    interrupted = Process(
        ["-c", "import time; print(flush=True); time.sleep(60)"], folder, environment(folder), merged=True
    )
    interrupted.stdout.readline()
    os.kill(interrupted.pid, signal.SIGINT)
    said, _ = interrupted.communicate(10)
    assert "KeyboardInterrupt" in said
    assert interrupted.returncode == -signal.SIGINT
