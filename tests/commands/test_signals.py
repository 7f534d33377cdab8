"""Programs that run until they are told to stop can be told, whoever started them."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import time
from commands.signals import heed_signals
heed_signals()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("told")
"""


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_signals_that_were_ignored_are_heeded(told: signal.Signals) -> None:
    words = ["sh", "-c", 'trap "" INT TERM HUP; exec "$@"', "sh", sys.executable, "-c", PROGRAM]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(told)
        assert process.stdout.read() == "told\n"
        assert process.wait(10) == 0


def test_what_tests_send_arrives_under_nohup() -> None:
    program = "import signal, tests.conftest; print(signal.getsignal(signal.SIGHUP) is signal.SIG_DFL)"
    words = ["sh", "-c", 'trap "" INT TERM HUP; exec "$@"', "sh", sys.executable, "-c", program]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "True\n"
