"""What is asked of every stack, once each and timed, and its row in the table of docs/stacks.md."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from tests.conftest import ROOT
from tests.pipelines.conftest import Project
from tests.processes import kill_all_of
from tests.servers.conftest import tiny_project

PIPELINES = ("train", "deploy", "inference", "monitor")
MORE_WORDS = {"inference": ("--input", "2022"), "monitor": ("--input", "2022", "--decide-only")}
_MATRIX = re.compile(r"<!-- matrix -->\n(\|.*\n)*")
_CHAMPION = """
import json
from stacks.apply import use_stack
use_stack(STACK)
import pandas as pd
from stacks.endpoints import deployed_endpoint
from steps.support import champion_and_versions
name = champion_and_versions.model_name("dispatch")
bundle = champion_and_versions.bundle_of(champion_and_versions.champion(name))
rows = pd.read_parquet(bundle.folder / "reference.parquet")[bundle.features].head(200)
endpoint = deployed_endpoint(name)
answers = list(endpoint.predict(rows)) if endpoint else list(bundle.predict(rows.to_numpy("float32")))
print(json.dumps({"digest": bundle.digest, "answers": answers, "served": bool(endpoint)}))
"""


@dataclass(frozen=True)
class Found:
    """What one stack gave, and what its commands said."""

    digest: str
    answers: list[float]
    metrics: Mapping[str, Any]
    seconds: dict[str, float]
    said: str

    def assert_same_as(self, other: Found) -> None:
        """The same model, measured alike, and the same predictions."""
        assert self.digest == other.digest
        assert self.metrics == other.metrics
        np.testing.assert_allclose(self.answers, other.answers, rtol=0, atol=1e-6)


def found_on(stack: str, project: Project, more: Mapping[str, tuple[str, ...]] | None = None) -> Found:
    """Do everything that a person does on a stack, each command timed; nothing is served afterwards.

    `more`: words of pipelines, beside those that are said on every stack; then it has no row in the table.
    """
    on, seconds, said = ("--stack", stack), dict[str, float](), []
    served = stack != "bare"
    for pipeline in PIPELINES:
        started = time.monotonic()
        words = ("--pipeline", pipeline, *MORE_WORDS.get(pipeline, ()), *(more or {}).get(pipeline, ()), *on)
        done = project(*words, check=served or pipeline != "deploy")
        said.append(done.stdout + done.stderr)
        if done.returncode:
            assert "has no model deployer" in done.stderr
        else:
            seconds[pipeline] = time.monotonic() - started
    champion = json.loads(project.python(f"STACK = {stack!r}\n{_CHAMPION}").splitlines()[-1])
    assert champion["served"] == served
    if served:
        said += [project("status", *on).stdout, project("stop", *on).stdout]
        assert "healthy" in said[-2]
    metrics = json.loads((project.folder / "reports" / "metrics.json").read_text(encoding="utf-8"))
    found = Found(champion["digest"], champion["answers"], metrics, seconds, "\n".join(said))
    if more is None:
        _write_row(stack, found)
    return found


def found_on_bare(factory: pytest.TempPathFactory) -> Found:
    """What comes out without any server: run once for all processes that run tests at once."""
    own = factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    kept = shared / "found-on-bare.json"
    with FileLock(f"{kept}.lock"):
        if not kept.exists():
            project = tiny_project(factory.mktemp("bare") / "a project")
            kept.write_text(json.dumps(asdict(found_on("bare", project))), encoding="utf-8")
            kill_all_of(project.folder)
    return Found(**json.loads(kept.read_text(encoding="utf-8")))


def _write_row(stack: str, found: Found) -> None:
    """Print a stack's row; with WRITE_MATRIX, put it into the table of docs/stacks.md, too."""
    row = f"| `{stack}` | {' | '.join(_cell(found.seconds.get(pipeline)) for pipeline in PIPELINES)} |\n"
    print(row, end="")
    if not os.environ.get("WRITE_MATRIX"):
        return
    with (ROOT / "docs" / "stacks.md").open("r+", encoding="utf-8") as page:
        fcntl.flock(page, fcntl.LOCK_EX)  # tests run in two processes at once
        text = page.read()
        known = re.compile(rf"(?<=\n)\| `{stack}` \|( (\d+ s|none) \|)+\n")
        page.seek(0)
        page.write(known.sub(row, text) if known.search(text) else _MATRIX.sub(rf"\g<0>{row}", text))
        page.truncate()


def _cell(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds:.0f} s"
