"""Every stack, with real parts: the same commands, the same model, the same predictions.

The table of docs/stacks.md is this test's, and tests/containers/test_docker_stack.py's:

    PLATFORM_TESTS=1 WRITE_MATRIX=1 python -m pytest -s tests/servers/test_matrix.py
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.pipelines.conftest import Project
from tests.processes import kill_all_of
from tests.servers.conftest import Platform, tiny_project

STACKS = ("local", "local-mlflow", "local-bento", "staging")  # each is compared with `bare`
PIPELINES = ("train", "deploy", "inference", "monitor")
_MATRIX = re.compile(r"<!-- matrix -->\n(\|.*\n)*")
FOUND = """
import json, sys
from stacks.apply import use_stack
use_stack(STACK)
import pandas as pd
from stacks.endpoints import deployed_endpoint
from steps.support import registry
name = registry.model_name("dispatch")
bundle = registry.bundle_of(registry.champion(name))
rows = pd.read_parquet(bundle.folder / "reference.parquet")[bundle.features].head(200)
endpoint = deployed_endpoint(name)
answers = list(endpoint.predict(rows)) if endpoint else list(bundle.predict(rows.to_numpy("float32")))
print(json.dumps({"digest": bundle.digest, "answers": answers, "served": bool(endpoint)}))
"""


@dataclass
class Found:
    """What one stack gave."""

    digest: str
    answers: list[float]
    metrics: Mapping[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, Found]]:
    """What the stacks gave so far; the table is printed when all are through."""
    known: dict[str, Found] = {}
    yield known
    write_rows(known)


@pytest.fixture(scope="module")
def bare(found: dict[str, Found], tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What comes out without any server."""
    found["bare"] = run_all(tiny_project(tmp_path_factory.mktemp("bare") / "a project"), "bare")
    return found["bare"]


@pytest.mark.parametrize("stack", STACKS)
def test_the_same_commands_give_the_same_model_as_on_stack_bare(
    stack: str, bare: Found, tmp_path: Path, found: dict[str, Found], request: pytest.FixtureRequest
) -> None:
    project = tiny_project(tmp_path / "a project")
    if stack == "staging":  # the only one that is not of this machine alone
        platform: Platform = request.getfixturevalue("platform")
        platform.settle(project)
    try:
        found[stack] = run_all(project, stack)
    finally:
        kill_all_of(project.folder)
    assert found[stack].digest == bare.digest
    assert found[stack].metrics == bare.metrics
    np.testing.assert_allclose(found[stack].answers, bare.answers, rtol=0, atol=1e-6)


def run_all(project: Project, stack: str) -> Found:
    """Everything a person does on a stack, timed; nothing is served afterwards."""
    on, seconds = ("--stack", stack), dict[str, float]()
    if "ACCIDENTS_DATABASE_URL" in project.environment:
        project("database", "upgrade", *on)
    served = stack != "bare"
    for pipeline in PIPELINES:
        more = {"inference": ["--input", "2022"], "monitor": ["--input", "2022", "--decide-only"]}
        started = time.monotonic()
        done = project(
            "--pipeline", pipeline, *more.get(pipeline, []), *on, check=served or pipeline != "deploy"
        )
        if done.returncode:
            assert "has no model deployer" in done.stderr
        else:
            seconds[pipeline] = time.monotonic() - started
    said = json.loads(project.python(f"STACK = {stack!r}\n{FOUND}").splitlines()[-1])
    assert said["served"] == served
    if served:
        assert "healthy" in project("status", *on).stdout
        project("stop", *on)
    metrics = json.loads((project.folder / "reports" / "metrics.json").read_text(encoding="utf-8"))
    return Found(said["digest"], said["answers"], metrics, seconds)


def write_rows(found: Mapping[str, Found]) -> None:
    """Print the rows of these stacks; with WRITE_MATRIX, put them into the table of docs/stacks.md, too."""
    page = ROOT / "docs" / "stacks.md"
    text = page.read_text(encoding="utf-8")
    for stack, one in found.items():
        row = f"| `{stack}` | {' | '.join(_cell(one.seconds.get(pipeline)) for pipeline in PIPELINES)} |\n"
        print(row, end="")
        known = re.compile(rf"(?<=\n)\| `{stack}` \|( (\d+ s|none) \|)+\n")
        text = known.sub(row, text) if known.search(text) else _MATRIX.sub(rf"\g<0>{row}", text)
    if os.environ.get("WRITE_MATRIX"):
        page.write_text(text, encoding="utf-8")


def _cell(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds:.0f} s"
