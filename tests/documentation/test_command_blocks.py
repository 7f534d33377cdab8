"""Blocks of commands in the documentation do what they say: run in order, in a copy, as a newcomer would."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import httpx
import pytest

from stacks.components.mlserver.folder import ServerFolder
from tests.conftest import ROOT
from tests.documentation.command_blocks import OTHERS, Block, blocks_in, blocks_of
from tests.pipelines.conftest import SMALL, make_project
from tests.processes import free_port, kill_all_of
from tests.warm import environment_that_forks

BLOCKS = blocks_in(ROOT)
STAYS = ("make serve", "python run.py serve")  # in the foreground, until Ctrl-C
GIT = "git -c user.name=a -c user.email=a@example.org"
# What a person has done by the time that they read a page.
BEFORE = {
    "docs/data.md": ("git add params.yaml dvc.yaml", f"{GIT} commit -qm before"),
    "docs/retrain.md": ("python run.py --pipeline train --years 2022-2023",),  # version 2
    "docs/stacks.md": ("python run.py stop",),
}
# What an answer holds, by what is in the command that asks for it.
ANSWERS = {
    "/predict": r'"probability": ?0\.\d+',
    "/infer": r'"p_severe"',
    "/v2/models": r'"versions":',
}


def test_every_block_of_commands_says_whether_it_is_run() -> None:
    assert len(BLOCKS) > 25
    assert [f"{block.page}:{block.line}" for block in BLOCKS if not block.is_marked] == []


def test_pages_outside_of_docs_are_looked_at() -> None:
    """All that the site has: documentation/hooks.py names them."""
    pytest.importorskip("mkdocs", reason="MkDocs is not installed: make docs")
    from documentation.hooks import ELSEWHERE

    assert set(ELSEWHERE) <= {"README.md", *OTHERS}
    assert "CONTRIBUTING.md" in {block.page for block in BLOCKS}


def test_what_is_left_out_of_a_block_is_in_it() -> None:
    stray = [
        (block.page, start)
        for block in BLOCKS
        for start in block.excepted
        if not any(line.startswith(start) for line in block.commands)
    ]
    assert stray == []


@pytest.mark.parametrize(
    ("text", "marked", "run"),
    [
        ("<!-- run -->\n```\nmake a   # b\ncurl -s x \\\n  -d y\n```\n", True, ("make a", "curl -s x -d y")),
        ("<!-- run, except: git x (y); make b (z) -->\n```\ngit x\nmake b\nmake a\n```\n", True, ("make a",)),
        ("<!-- run, except: git x; make b (z) -->\n```\ngit x\nmake b\nmake a\n```\n", False, None),
        ("<!-- not run: asks a cluster -->\n```bash\nkubectl get pods\n```\n", True, ()),
        ("<!-- not run: -->\n```\nmake a\n```\n", False, ()),
        ("some words\n```\nmake a\n```\n", False, ()),
        ("1. x\n   ```\n   make a\n   ```\n", False, ()),
        ("1. x\n   <!-- run -->\n   ```\n   make a\n   ```\n", True, ("make a",)),
    ],
)  # fmt: skip
def test_a_mark_is_read(text: str, marked: bool, run: tuple[str, ...] | None) -> None:
    (block,) = blocks_of(text, "page.md")
    assert block.is_marked == marked
    assert run is None or block.run == run


def test_a_drawing_is_no_block_of_commands() -> None:
    assert blocks_of("```\na ──► b\n```\n\n```yaml\nmake: a\n```\n", "page.md") == []


class Newcomer:
    """Who types the commands of the pages into a shell, in a copy of the project with an environment.

    Ports are free ones in place of the usual, the experiment is a small one, and what has been made is not
    made again: a page that begins with `make train` finds what the one before has trained. What `make stop`
    has stopped is started again. A `python` that is typed, or that `make` calls, forks: tests/warm.py.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, folder / "served.txt"
        self.typed, self.made = set[str](), set[str]()
        self.port = free_port()
        self.server: subprocess.Popen[bytes] | None = None
        config = folder / "configs" / "api.yaml"
        config.write_text(config.read_text().replace("port: 8000", f"port: {self.port}"))
        shutil.copy(ROOT / "Makefile", folder / "Makefile")
        for lock in (folder / "requirements").iterdir():  # older than what `make` has installed of it
            os.utime(lock, (0, 0))
        for stamp in (folder / ".venv" / name for name in ("train", "dev")):
            stamp.unlink(missing_ok=True)
            stamp.touch()

    def type(self, line: str) -> None:
        """Run one line, as it is told, unless it makes what has been made before."""
        if line in self.made:
            return
        self.typed.add(line)
        if line.startswith("make "):
            self.made.add(line)
        if line == "make stop":
            self._interrupt()
            self.made -= {"make deploy", "make serve", "make status", "make stop"}
        line = line.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        if "127.0.0.1:8085" in line:
            line = line.replace(":8085", f":{self._model_port()}")
        if line in STAYS:
            self._serve(line)
        elif line.startswith("xdg-open "):
            assert (self.folder / line.split()[1]).stat().st_size > 1000, line
        else:
            self._shell(line)

    def _model_port(self) -> int:
        state = ServerFolder(self.folder / ".serving" / "model-server").state
        return int(json.loads(state.read_text(encoding="utf-8"))["http_port"])

    def _interrupt(self) -> None:
        """Press Ctrl-C where the API runs."""
        if self.server is not None and self.server.poll() is None:
            os.killpg(self.server.pid, signal.SIGINT)
            self.server.wait(60)

    def _shell(self, line: str) -> None:
        done = subprocess.run(
            ["bash", "-ec", line],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=900,
        )
        if done.returncode:
            pytest.fail(f"{line} exited {done.returncode}:\n{done.stdout}\n{done.stderr}", pytrace=False)
        if line.startswith("curl "):
            answer = next(answer for asked, answer in ANSWERS.items() if asked in line)
            assert re.search(answer, done.stdout), done.stdout

    def _serve(self, line: str) -> None:
        with self.said.open("wb") as said_to:
            self.server = subprocess.Popen(
                ["bash", "-c", line], cwd=self.folder, env=self._environment(), start_new_session=True,
                stdout=said_to, stderr=subprocess.STDOUT,
            )  # fmt: skip
        until = time.monotonic() + 400  # where the API's environment has to be made first
        while not self._is_ready():
            said = self.said.read_text()
            assert self.server.poll() is None, f"{line} ended: {said}"
            assert time.monotonic() < until, f"{line} is not ready: {said}"
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(
                f"http://127.0.0.1:{self.port}/health/ready", trust_env=False, timeout=2
            ).is_success
        except httpx.TransportError:
            return False

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ZENML_", "MLFLOW_", "COVERAGE_"))
            and name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
        }
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        environments = str(ROOT / ".serving" / "environments")
        return {"ACCIDENTS_ENVIRONMENTS": environments} | kept | {
            "PATH": f"{self.folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        }  # fmt: skip

    def leave(self) -> None:
        """End whatever still runs."""
        if self.server is not None and self.server.poll() is None:
            os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()
        kill_all_of(self.folder)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    folder = tmp_path_factory.mktemp("newcomer") / "road-accidents"
    with environment_that_forks(folder / ".venv", make_project(folder).environment):
        came = Newcomer(folder)
        yield came
        came.leave()


def test_the_experiment_of_the_copy_is_a_small_one() -> None:
    """Else the blocks would take minutes."""
    assert all(text in (ROOT / "params.yaml").read_text() for text in SMALL)


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(1800)
def test_blocks_do_what_they_say(newcomer: Newcomer) -> None:
    """In one test: each begins where the one before has ended."""
    run: list[Block] = [block for block in BLOCKS if block.run]
    assert {block.page for block in run} >= {"README.md", "docs/get_started.md", "docs/serving.md"}
    for page, blocks in groupby(run, key=lambda block: block.page):
        for line in (*BEFORE.get(page, ()), *(line for block in blocks for line in block.run)):
            newcomer.type(line)
    assert {"make train", "make deploy", "make serve", "make monitor", "make stop"} <= newcomer.typed
    assert {"docs/data.md", "docs/retrain.md", "docs/rollout.md"} <= {block.page for block in run}
