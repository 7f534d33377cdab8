"""Environments are built from hashed locks, once, whole or not at all."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stacks.errors import StackError
from stacks.locked_environments import SHARED, environment, environments_folder

# One that requirements/dev.txt has: without dependencies, and quick to install.
PACKAGE = "iniconfig"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock of one small package, out of the project's own."""
    from tests.conftest import ROOT

    lines = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8").splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(f"{PACKAGE}=="))
    end = next(k for k, line in enumerate(lines[start:], start) if not line.rstrip().endswith("\\"))
    path = tmp_path / "small.txt"
    path.write_text("\n".join(lines[start : end + 1]) + "\n", encoding="utf-8")
    return path


def test_built_once_and_found_again(lock: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    python = environment(lock, tmp_path / "environments")
    assert "Building the environment of small.txt" in capfd.readouterr().err
    subprocess.run([python, "-c", f"import {PACKAGE}"], check=True)
    made = python.stat().st_ctime_ns
    assert environment(lock, tmp_path / "environments") == python
    assert python.stat().st_ctime_ns == made
    assert capfd.readouterr().err == ""
    lock.write_text(lock.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert environment(lock, tmp_path / "environments") != python


def test_asked_for_by_several_at_once_it_is_built_once(
    lock: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    got: list[Path] = []
    threads = [
        threading.Thread(target=lambda: got.append(environment(lock, tmp_path / "environments")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 3
    assert len(set(got)) == 1
    assert capfd.readouterr().err.count("Building") == 1


def test_where_nothing_can_build_one_a_person_is_told_where_to_go(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(StackError, match=r"`make train` installs it.*deploy from a project's folder"):
        environment(lock, tmp_path / "environments")


def test_an_interrupted_one_is_built_anew(lock: Path, tmp_path: Path) -> None:
    python = environment(lock, tmp_path / "environments")
    place = python.parent.parent
    (place / "ready").unlink()
    (place / "half").touch()
    assert environment(lock, tmp_path / "environments") == python
    assert not (place / "half").exists()
    python.unlink()  # as after an upgrade of the machine's Python
    environment(lock, tmp_path / "environments")
    subprocess.run([python, "-c", f"import {PACKAGE}"], check=True)


def test_another_hash_is_refused_and_nothing_is_left(lock: Path, tmp_path: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    digests = [part.split()[0] for part in text.split("sha256:")[1:]]
    for digest in digests:
        text = text.replace(digest, digest[::-1])
    lock.write_text(text, encoding="utf-8")
    with pytest.raises(StackError, match=r"small\.txt could not be built(.|\n)*[Hh]ash"):
        environment(lock, tmp_path / "environments")
    assert [path for path in (tmp_path / "environments").iterdir() if path.is_dir()] == []


def test_no_registry_is_said(lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(StackError, match="Can the package registry be reached"):
        environment(lock, tmp_path / "environments")


def test_no_lock_is_said(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"nowhere\.txt cannot be read"):
        environment(tmp_path / "nowhere.txt", tmp_path)


def test_the_folder_may_be_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SHARED, raising=False)
    assert environments_folder(tmp_path) == tmp_path
    monkeypatch.setenv(SHARED, str(tmp_path / "shared"))
    assert environments_folder(tmp_path) == tmp_path / "shared"
