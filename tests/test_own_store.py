"""Tests keep to stores of their own, whichever ZenML server `.env` or the shell names: a team works on it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.project_copy import copy_project
from tests.conftest import ROOT

# As our tests are: one has a store in its own process, the others start processes.
TESTS = """
import subprocess, sys
from tests.pipelines.conftest import Project
from tests.zenml_store import ROOT, isolated_environment, zenml_store

def test_in_this_process(zenml_store):
    from stacks.apply import apply_stack
    from zenml.client import Client
    assert "created stack bare" in apply_stack("bare").changes
    assert Client().zen_store.url.startswith(f"sqlite:///{zenml_store}")

def test_in_another(tmp_path):
    apply = [sys.executable, "run.py", "stack", "apply", "bare"]
    subprocess.run(apply, cwd=ROOT, env=isolated_environment(tmp_path), check=True)
    assert (tmp_path / "local_stores").is_dir()

def test_as_those_of_the_pipelines():
    assert not [name for name in Project(ROOT).environment if name.startswith("ZENML_STORE_")]
"""
NEEDED = ("__init__.py", "compiled.py", "conftest.py", "leftovers.py", "processes.py", "unflushed.py",
          "warm.py", "zenml_store.py", "pipelines/__init__.py", "pipelines/conftest.py")  # fmt: skip


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Who is called by whoever asks the team's server; nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with some tests."""
    folder = copy_project(tmp_path / "project")
    (folder / "tests" / "pipelines").mkdir(parents=True)
    for name in NEEDED:
        shutil.copy(ROOT / "tests" / name, folder / "tests" / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "tests" / "test_store.py").write_text(TESTS, encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("where", [".env", "the shell"])
def test_no_test_asks_the_server_of_a_team(where: str, server: socket.socket, project: Path) -> None:
    named = {
        "ZENML_STORE_URL": f"http://127.0.0.1:{server.getsockname()[1]}",
        "ZENML_STORE_API_KEY": "ZENKEY_of_a_team",
    }
    if where == ".env":
        (project / ".env").touch(0o600)
        (project / ".env").write_text("".join(f"{name}={value}\n" for name, value in named.items()))
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    shell = os.environ | ({} if where == ".env" else named)
    done = subprocess.run(words, cwd=project, env=shell, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(BlockingIOError):
        server.accept()
