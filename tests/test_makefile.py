"""`make` finds a Python that the locks are made for, and needs no home folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TOOLS = ("sh", "make", "test", "mkdir", "touch", "echo")
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project without an environment, in a folder with a space."""
    folder = tmp_path / "a project"
    for file in ("Makefile", "stacks/cache_folder.py", "requirements/uv.txt", "requirements/train.txt"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / file)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    return folder


def make(project: Path, *words: str, home: str | None = None) -> subprocess.CompletedProcess[str]:
    """`make WORDS`, which finds no program but those of the folder bin."""
    return subprocess.run(
        ["make", *words],
        cwd=project,
        env={"PATH": str(project.parent / "bin"), "HOME": home or str(project.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def python(project: Path, name: str, version: str = "") -> None:
    """A Python of this name; one that says it is another version, or is none ("broken"), if that is given."""
    program = project.parent / "bin" / name
    told = {"": f'exec {sys.executable} "$@"', "broken": "exit 127"}.get(
        version, f"exec {sys.executable} -c 'import sys; sys.version_info = ({version}); '\"$2\""
    )
    program.write_text(f"#!/bin/sh\n{told}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        ({"python3.11": "", "python3.13": ""}, "python3.11"),
        ({"python3.12": ""}, "python3.12"),
        ({"python3.13": ""}, "python3.13"),
        ({"python3.11": "broken", "python3.12": ""}, "python3.12"),  # a shim without its Python
        ({"python3": ""}, "python3"),
        ({"python3": "3, 10", "python": ""}, "python"),
        ({"python3": "3, 14", "python": ""}, "python"),
    ],
    ids=str,
)
def test_the_first_python_that_fits_is_taken(project: Path, there: dict[str, str], chosen: str) -> None:
    for name, version in there.items():
        python(project, name, version)
    assert f"\n{chosen} -m venv .venv\n" in "\n" + make(project, "-n", "train").stdout


@pytest.mark.parametrize("there", [{}, {"python3": "3, 10"}, {"python3": "3, 14"}], ids=str)
def test_where_none_fits_a_sentence_says_so(project: Path, there: dict[str, str]) -> None:
    for name, version in there.items():
        python(project, name, version)
    done = make(project, "train")
    assert done.returncode != 0
    assert "There is no Python 3.11, 3.12 or 3.13 with venv" in done.stderr
    assert "PYTHON=" in done.stderr


def test_caches_go_into_the_project_where_the_home_folder_cannot_be_written(project: Path) -> None:
    python(project, "python3")
    with (project / "Makefile").open("a") as makefile:
        makefile.write('\ncache:\n\t@echo "cache $$XDG_CACHE_HOME"\n')
    assert make(project, "cache", home="/dev/null/home").stdout == f"cache {project / '.cache'}\n"
    assert make(project, "cache").stdout == "cache \n"


@pytest.mark.parametrize("stops", [True, False])
def test_clean_removes_no_record_of_a_server_that_it_cannot_stop(project: Path, stops: bool) -> None:
    program = project / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\n[ "$*" != "run.py stop --all" ] || exit {0 if stops else 1}\n')
    program.chmod(0o755)
    (project.parent / "bin" / "rm").symlink_to(str(shutil.which("rm")))
    (project / ".zenml").mkdir()
    done = make(project, "clean")
    assert (done.returncode == 0) is stops, done.stderr
    assert (project / ".zenml").exists() is not stops


@pytest.mark.parametrize("fails", ["train.in", "azure.in", "docs.in"])
def test_a_lock_that_cannot_be_resolved_ends_make_lock(project: Path, fails: str) -> None:
    """Also one that is not the last of its loop."""
    python(project, "python3")
    uv = project / ".venv" / "bin" / "uv"
    uv.parent.mkdir(parents=True)
    uv.write_text(f'#!/bin/sh\ncase "$*" in *"{fails} -o"*) exit 1 ;; esac\n')
    uv.chmod(0o755)
    done = make(project, "lock")
    assert done.returncode != 0
    assert f"{fails} -o" not in done.stdout.rpartition("cd requirements")[0], "it went on"
