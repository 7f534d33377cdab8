"""Every stack, with real parts: the same commands, the same model, the same predictions.

The table of docs/stacks.md is this test's:

    PLATFORM_TESTS=1 WRITE_MATRIX=1 python -m pytest -s tests/stacks/test_matrix.py
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.pipelines.conftest import Project, make_project
from tests.platform_parts import PASSWORD, S3_KEY, S3_SECRET, running_mlflow, running_s3
from tests.postgres import running_postgres
from tests.processes import kill_all_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.timeout(1800),
    pytest.mark.skipif("PLATFORM_TESTS" not in os.environ, reason="takes minutes: PLATFORM_TESTS=1 runs it"),
]

STACKS = ("bare", "local", "local-mlflow", "local-bento", "staging")
PIPELINES = ("train", "deploy", "inference", "monitor")
TINY = {"accidents_per_year: 4000": "accidents_per_year: 1500",
        "n_estimators: 60": "n_estimators: 30"}  # fmt: skip
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
    table = _table(known)
    print(f"\n{table}")
    if os.environ.get("WRITE_MATRIX"):
        page = ROOT / "docs" / "stacks.md"
        text = page.read_text(encoding="utf-8")
        page.write_text(re.sub(r"(?<=<!-- matrix -->\n)(\|.*\n)*", f"{table}\n", text), encoding="utf-8")


@pytest.fixture
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a stack that is not of this machine alone is told of the servers it runs on."""
    with ExitStack() as held:
        if request.node.callspec.params["stack"] != "staging":
            yield {}
            return
        postgres = held.enter_context(running_postgres())
        s3 = held.enter_context(running_s3(tmp_path / "s3", "zenml", "mlflow"))
        mlflow = running_mlflow(tmp_path / "mlflow", postgres.new_database(), s3, "mlflow")
        yield {
            "S3_ENDPOINT": s3.url,
            "S3_ACCESS_KEY": S3_KEY,
            "S3_SECRET_KEY": S3_SECRET,
            "MLFLOW_SERVER": held.enter_context(mlflow).url,
            "MLFLOW_PASSWORD": PASSWORD,
            "ACCIDENTS_DATABASE_URL": postgres.new_database().replace("postgresql:", "postgresql+psycopg:"),
        }


@pytest.mark.parametrize("stack", STACKS)
def test_the_same_commands_give_the_same_model_on_every_stack(
    stack: str, platform: dict[str, str], tmp_path: Path, found: dict[str, Found]
) -> None:
    project = tiny_project(tmp_path / "a project", platform)
    try:
        found[stack] = run_all(project, stack)
    finally:
        kill_all_of(project.folder)
    first = next(iter(found.values()))
    assert found[stack].digest == first.digest
    assert found[stack].metrics == first.metrics
    np.testing.assert_allclose(found[stack].answers, first.answers, rtol=0, atol=1e-6)


def tiny_project(folder: Path, platform: Mapping[str, str]) -> Project:
    """A project with a tiny experiment, and these variables."""
    project = make_project(folder)
    params = folder / "params.yaml"
    text = params.read_text(encoding="utf-8")
    for usual, tiny in TINY.items():
        assert usual in text
        text = text.replace(usual, tiny)
    params.write_text(text, encoding="utf-8")
    project.environment |= platform
    return project


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


def _table(found: Mapping[str, Found]) -> str:
    head = f"| stack | {' | '.join(PIPELINES)} |\n|---|{'---:|' * len(PIPELINES)}"
    rows = [
        f"| `{stack}` | {' | '.join(_cell(one.seconds.get(pipeline)) for pipeline in PIPELINES)} |"
        for stack, one in found.items()
    ]
    return "\n".join([head, *rows])


def _cell(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds:.0f} s"
