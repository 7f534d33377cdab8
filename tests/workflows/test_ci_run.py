"""`.ci/run` stays green where time runs out, and its last lines say what was not run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

MAKE = """#!/bin/sh
[ "$1" != "$CUT_OFF" ] || { echo KeyboardInterrupt; exit 2; }
[ "$1" != "$FAILS" ] || exit 2
"""
AT_THE_END = "the engine ends"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the script, and of all that it calls programs that do nothing."""
    nothing = ".ci/system-packages", ".venv/bin/python"
    programs = dict.fromkeys(nothing, "#!/bin/sh\n")
    programs |= {".ci/container-engine": f'#!/bin/sh\n[ "$1" = start ] || echo "{AT_THE_END}" >&2\n'}
    for name, text in (programs | {"bin/make": MAKE}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    return tmp_path


def at_the_end(project: Path, **variables: str) -> tuple[int, list[str]]:
    """Exit code, and what is said once everything else is over."""
    path = f"{project}/bin{os.pathsep}{os.environ['PATH']}"
    inherited = {name: value for name, value in os.environ.items() if name != "CLUSTER_HOST"}
    done = subprocess.run(
        [project / ".ci" / "run"], env=inherited | {"PATH": path, "TMPDIR": str(project)} | variables,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, list(filter(None, done.stderr.partition(AT_THE_END)[2].splitlines()))


def run(project: Path, **variables: str) -> tuple[int, set[str]]:
    """Exit code, and what of it is not said of every run."""
    code, said = at_the_end(project, **variables)
    assert sum(line.startswith("NOT RUN here") for line in said) == 2
    return code, {line for line in said if not line.startswith("NOT RUN here")}


def test_what_is_never_run_here_is_said_by_name(project: Path) -> None:
    (platform,) = re.findall(r"^PLATFORM = ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.M)
    _, (of_platform, of_cluster) = at_the_end(project)
    assert of_platform.startswith("NOT RUN here: make platform, of which make matrix is a part: ")
    assert set(re.findall(r"tests/[\w./]+", of_platform)) == set(re.findall(r"tests/[\w./]+", platform))
    assert of_cluster == "NOT RUN here: tests/cluster, which needs a real cluster"
    assert at_the_end(project, CLUSTER_HOST="10.0.0.1") == (0, [of_platform])


def test_with_time_enough_nothing_is_missed(project: Path) -> None:
    assert run(project) == (0, set())


@pytest.mark.parametrize(
    ("gone", "missed"),
    [("4000", {"dags"}), ("4400", {"dags", "matrix"}), ("5149", {"dags", "matrix", "containers"})],
)
def test_what_was_left_out_is_the_last_that_is_said(project: Path, gone: str, missed: set[str]) -> None:
    """bash counts on from the seconds that it is given."""
    said = {f"NOT RUN for lack of time: make {target}" for target in missed}
    assert run(project, SECONDS=gone) == (0, said)


def test_so_is_what_was_cut_off(project: Path) -> None:
    assert run(project, CUT_OFF="matrix") == (0, {"NOT FINISHED for lack of time: make matrix"})


@pytest.mark.parametrize("target", ["dags", "matrix", "containers", "check"])
def test_what_fails_fails_all_the_same(project: Path, target: str) -> None:
    code, said = run(project, FAILS=target, SECONDS="3000")
    assert (code > 0, said) == (True, set())


def test_an_engine_that_does_not_stop_fails_and_what_was_missed_is_still_said(project: Path) -> None:
    with (project / ".ci" / "container-engine").open("a") as engine:
        engine.write('[ "$1" = start ]\n')
    code, said = run(project, CUT_OFF="matrix")
    assert (code, said) == (1, {"NOT FINISHED for lack of time: make matrix"})
