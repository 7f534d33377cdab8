"""Processes that outlive who started them: known again, and ended whole."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from stacks.processes import StartedProcess, end, is_alive, read_process, start
from tests.processes import kill_all_of

DEAF = 'trap "" TERM; sleep 60 & echo begun; wait'


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[psutil.Process]:
    """A process with a child, both of which do not end when they are asked to."""
    process = start(["sh", "-c", DEAF], tmp_path, {"PATH": os.environ["PATH"]}, tmp_path / "its.log")
    while "begun" not in (tmp_path / "its.log").read_text():
        time.sleep(0.01)
    yield psutil.Process(process.pid)
    kill_all_of(tmp_path)
    process.wait()


def test_it_works_apart_from_who_started_it(deaf: psutil.Process) -> None:
    assert os.getsid(deaf.pid) == deaf.pid


def test_what_does_not_end_is_made_to_with_its_children(deaf: psutil.Process) -> None:
    (child,) = deaf.children()
    end(deaf, seconds=0.2)
    assert not is_alive(deaf)
    assert not is_alive(child)
    end(deaf)  # one that has ended is no error


def test_it_is_known_again_and_no_other_is_taken_for_it(deaf: psutil.Process, tmp_path: Path) -> None:
    file = tmp_path / "its.json"
    known = StartedProcess(deaf.pid, deaf.create_time())
    file.write_text(json.dumps(asdict(known)))
    assert read_process(file, StartedProcess, tmp_path) == known
    assert known.process() == deaf
    assert read_process(file, StartedProcess, tmp_path / "a copy") is None
    assert StartedProcess(deaf.pid, deaf.create_time() - 60).process() is None, "it has had that number later"
    file.write_text("{}")
    assert read_process(file, StartedProcess, tmp_path) is None
