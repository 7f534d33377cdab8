"""Leases: two processes that share a store; one is killed, cut off, or put to sleep."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from accidents.errors import BusyError
from accidents.predictions.leases import LeaseLostError
from accidents.predictions.store import PredictionStore
from tests.conftest import ROOT
from tests.predictions import connected

pytest_plugins = ("tests.log_fixtures",)  # the fixtures `address`, `log`, `postgres`
SECONDS = 3.0
HOLDS = """
import sys, time
from accidents.predictions.store import opened_store

with opened_store(sys.argv[1]) as store, store.lease("loop", float(sys.argv[2])) as lease:
    print("held", flush=True)
    for line in sys.stdin:
        lease.require()
        print("still", flush=True)
"""


@pytest.fixture
def store(address: str) -> Iterator[PredictionStore]:
    made = PredictionStore(address)
    made.create()
    yield made
    made.close()


def holder(address: str) -> subprocess.Popen[str]:
    """Another process that holds the lease, and proves it each time it is given a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, address, str(SECONDS)], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_refused_in_words_until_the_first_has_left(
    address: str, store: PredictionStore
) -> None:
    first = holder(address)
    with pytest.raises(BusyError, match=rf"Another loop runs \(process {first.pid}.*one at a time"):
        store.lease("loop", SECONDS).__enter__()
    with store.lease("another", SECONDS):
        pass
    first.communicate("", timeout=30)
    assert first.returncode == 0
    with store.lease("loop", SECONDS) as lease:
        lease.require()
    with store.lease("loop", SECONDS):
        pass


def test_one_that_was_killed_is_followed(address: str, store: PredictionStore) -> None:
    first = holder(address)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    if store.shared:
        with pytest.raises(BusyError, match=rf"on {socket.gethostname()}.*if it was killed.*runs out at"):
            store.lease("loop", SECONDS).__enter__()
        time.sleep(SECONDS)
    with store.lease("loop", SECONDS):
        pass


@pytest.mark.server
@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
class TestInPostgres:
    def test_it_is_renewed_while_its_holder_works(self, address: str, store: PredictionStore) -> None:
        with store.lease("loop", SECONDS) as lease:
            time.sleep(SECONDS + 1)
            with pytest.raises(BusyError, match=f"process {os.getpid()}"):
                store.lease("loop", SECONDS).__enter__()
            lease.require()

    def test_one_that_slept_too_long_stops_before_it_acts(self, address: str, store: PredictionStore) -> None:
        first = holder(address)
        first.send_signal(signal.SIGSTOP)
        time.sleep(SECONDS + 0.5)
        with store.lease("loop", SECONDS):
            first.send_signal(signal.SIGCONT)
            out, errors = first.communicate("act\n", timeout=30)
            assert (out, first.returncode) == ("", 1)
            assert "LeaseLostError: This loop was out of touch" in errors
            with pytest.raises(BusyError):  # and what it does in leaving does not touch ours
                PredictionStore(address).lease("loop", SECONDS).__enter__()

    def test_the_clock_that_counts_is_the_databases(
        self, address: str, store: PredictionStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with store.lease("loop", 60):
            monkeypatch.setattr(time, "time", lambda: 4e9)
            with pytest.raises(BusyError):
                store.lease("loop", 60).__enter__()

    def test_of_several_that_try_at_once_one_gets_it(self, address: str, store: PredictionStore) -> None:
        words = [sys.executable, "-c", HOLDS, address, "60"]
        several = [
            subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
            for _ in range(3)
        ]  # fmt: skip
        refused = [one for one in several if one.stdout is not None and not one.stdout.readline()]
        assert len(refused) == 2
        for one in several:
            one.communicate("")
        assert sorted(one.returncode for one in several) == [0, 1, 1]

    def test_a_lease_that_ran_out_and_nobody_took_is_kept(self, address: str, store: PredictionStore) -> None:
        with store.lease("loop", 60) as lease:
            with connected(address) as connection:
                connection.execute(text("UPDATE leases SET expires = now() - interval '1 day'"))
                connection.commit()
            lease.require()
            with connected(address) as connection:
                connection.execute(text("UPDATE leases SET owner = 'somebody else'"))
                connection.commit()
            with pytest.raises(LeaseLostError, match="another one has taken its place: it stops"):
                lease.require()


def test_the_lock_of_a_file_lies_beside_it(store: PredictionStore) -> None:
    if store.shared:
        return
    with store.lease("loop", SECONDS):
        assert Path(store.place).with_name("loop.lock").exists()
    assert re.search(str(os.getpid()), Path(store.place).with_name("loop.json").read_text())
