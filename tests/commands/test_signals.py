"""What a signal does: programs that run until they are told to stop, and commands that are in the middle."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROGRAM = """
import time
from commands.signals import heed_signals
heed_signals()
try:
    print("ready", flush=True)
    while True:
        time.sleep(0.1)  # a signal just before a long sleep would wait for its end
except KeyboardInterrupt:
    print("told")
"""


@contextmanager
def started(ignored: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Python with `-c` and these words, ready, by somebody who ignores these signals."""
    shell = ["sh", "-c", f'trap "" {ignored}; exec "$@"' if ignored else 'exec "$@"', "sh"]
    with subprocess.Popen(
        [*shell, sys.executable, "-c", *words],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_signals_that_were_ignored_are_heeded(told: signal.Signals) -> None:
    with started("INT TERM HUP", PROGRAM) as process:
        process.send_signal(told)
        assert process.communicate(timeout=60) == ("told\n", "")
        assert process.returncode == 0


COMMAND = """
import sqlite3, sys, time
import run

def command(*_, **__):
    print("ready", flush=True)
    try:
        while True:
            time.sleep(0.1)
    except BaseException:
        if sys.argv[1] == "locked":  # as ZenML's store is while the interrupt goes through it
            raise sqlite3.OperationalError("database is locked")
        if sys.argv[1] == "again":
            import os, signal
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        if sys.argv[1] != "swallowed":
            raise
run.build = lambda: command
raise SystemExit(run.cli([]))
"""
ENDED = "What was finished is kept, the rest is as it was before: run the same command again"


@pytest.mark.parametrize(
    ("told", "on_the_way", "code", "by"),
    [
        (signal.SIGINT, "nothing", 130, "Ctrl-C"),
        (signal.SIGTERM, "nothing", 143, "SIGTERM"),
        (signal.SIGHUP, "nothing", 129, "SIGHUP"),
        (signal.SIGTERM, "locked", 143, "SIGTERM"),
        (signal.SIGTERM, "swallowed", 143, "SIGTERM"),
        (signal.SIGINT, "again", 130, "Ctrl-C"),
    ],
)
def test_a_command_that_is_ended_says_so_and_no_more(
    told: signal.Signals, on_the_way: str, code: int, by: str
) -> None:
    with started("", COMMAND, on_the_way) as process:
        process.send_signal(told)
        (said,) = process.communicate(timeout=60)[1].splitlines()
        assert process.returncode == code
        assert said.startswith(f"Error: Ended by {by}. {ENDED}")


STORE = """
import os, signal, sys, time
import run
from sqlalchemy import create_engine, event, text

def command(*_, **__):
    store = create_engine(f"sqlite:///{sys.argv[1]}")
    with store.begin() as connection:
        connection.execute(text("CREATE TABLE kept (number)"))

    @event.listens_for(store, "commit")
    def end(_):
        os.kill(os.getpid(), signal.SIGTERM)

    print("ready", flush=True)
    with store.begin() as connection:
        connection.execute(text("INSERT INTO kept VALUES (1)"))
    while True:
        time.sleep(0.1)
run.build = lambda: command
raise SystemExit(run.cli([]))
"""


def test_a_write_to_a_store_is_finished_before_the_command_ends(tmp_path: Path) -> None:
    with started("", STORE, str(tmp_path / "store.db")) as process:
        assert process.communicate(timeout=60)[1].startswith("Error: Ended by SIGTERM.")
        assert process.returncode == 143
    with closing(sqlite3.connect(tmp_path / "store.db")) as store:
        assert store.execute("SELECT number FROM kept").fetchall() == [(1,)]


LOST = """
import os, signal, time, weakref
import run

class Thing:
    pass

def command(*_, **__):
    thing = Thing()
    kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    print("ready", flush=True)
    del thing  # Python ignores what is raised in the callback
    while True:
        time.sleep(0.1)
run.build = lambda: command
raise SystemExit(run.cli([]))
"""


def test_a_signal_where_nothing_can_be_raised_ends_the_command_all_the_same() -> None:
    with started("", LOST) as process:
        (said,) = process.communicate(timeout=60)[1].splitlines()
        assert said.startswith("Error: Ended by SIGTERM.")
        assert process.returncode == 143


WATCH = """
import time
import run
from commands.signals import heed_signals

def command(*_, **__):
    heed_signals()
    print("ready", flush=True)
    while True:
        time.sleep(0.1)
run.build = lambda: command
raise SystemExit(run.cli([]))
"""


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_runs_until_it_is_told_ends_well(told: signal.Signals) -> None:
    with started("", WATCH) as process:
        process.send_signal(told)
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 0


def test_a_terminal_that_is_closed_ends_no_command_under_nohup() -> None:
    with started("HUP", COMMAND, "nothing") as process:
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.kill()


def test_what_tests_send_arrives_under_nohup() -> None:
    program = "import signal, tests.conftest; print(signal.getsignal(signal.SIGHUP) is signal.SIG_DFL)"
    words = ["sh", "-c", 'trap "" INT TERM HUP; exec "$@"', "sh", sys.executable, "-c", program]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "True\n"
