"""The `run:` steps of GitHub's workflows, run in order as a runner does: conditions, environment, outputs.

Actions (`uses:`) are not run: what they bring (a checkout, Python, a cache) a clean clone has already.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
Context = Mapping[str, Any]
TIMEOUT = 1500  # seconds a step, such as two trainings


@dataclass(frozen=True)
class Step:
    """One `run:` of a job."""

    run: str
    condition: str
    env: Mapping[str, str]
    id: str


@dataclass(frozen=True)
class Job:
    """Its steps that run something, and the environment they have."""

    workflow: str
    name: str
    env: Mapping[str, str]
    steps: tuple[Step, ...]
    condition: str
    outputs: Mapping[str, str]


@dataclass
class Ran:
    """What came of a job: what each step printed, the job's outputs, and whether it went well."""

    well: bool = True
    said: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""


def read(workflow: str) -> dict[str, Any]:
    return dict(yaml.safe_load((WORKFLOWS / f"{workflow}.yml").read_text(encoding="utf-8")))


def jobs() -> Iterator[Job]:
    """Every job of every workflow."""
    for file in sorted(WORKFLOWS.glob("*.yml")):
        for name in read(file.stem)["jobs"]:
            yield job(file.stem, name)


def job(workflow: str, name: str) -> Job:
    whole = read(workflow)
    content = whole["jobs"][name]
    steps = tuple(
        Step(step["run"].strip(), str(step.get("if", "")), step.get("env", {}), step.get("id", ""))
        for step in content["steps"]
        if "run" in step
    )
    env = {**whole.get("env", {}), **content.get("env", {})}
    return Job(workflow, name, env, steps, str(content.get("if", "")), content.get("outputs", {}))


def run(
    job: Job, folder: Path, context: Context, environment: Mapping[str, str], but: Mapping[str, str]
) -> Ran:
    """Run the steps of a job in a folder.

    Parameters
    ----------
    context : what expressions find, such as {"github.sha": ...}.
    environment : what a runner has, as far as it is not this process's own.
    but : steps that are not run, each with the reason.
    """
    assert holds(job.condition, context, True)
    ran, outputs, summary = Ran(), folder / ".git" / "outputs", folder / ".git" / "summary"
    found = dict(context)
    for step in job.steps:
        if step.run in but or not holds(step.condition, found, ran.well):
            continue
        told = {name: filled(str(value), found) for name, value in {**job.env, **step.env}.items()}
        for file in (outputs, summary):
            file.write_text("")
        files = {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary)}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", filled(step.run, found)],
            cwd=folder, timeout=TIMEOUT, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **environment, **told, **files},
        )  # fmt: skip
        print(f"--- {job.workflow}/{job.name}: {step.run} ({done.returncode})\n{done.stdout[-3000:]}")
        ran.said[step.run] = done.stdout
        ran.well &= done.returncode == 0
        ran.summary += summary.read_text()
        for line in outputs.read_text().splitlines():
            name, _, value = line.partition("=")
            found[f"steps.{step.id}.outputs.{name}"] = value
    ran.outputs = {name: filled(value, found) for name, value in job.outputs.items()}
    return ran


def filled(text: str, context: Context) -> str:
    """With what stands for each `${{ ... }}`; of `a || b` the first that is something."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: _value(found[1], context), text)


def _value(expression: str, context: Context) -> str:
    for part in map(str.strip, expression.split("||")):
        value = part.strip("'") if part.startswith("'") else str(context[part])
        if value:
            return value
    return ""


def holds(condition: str, context: Context, well: bool) -> bool:
    """Whether a step or job runs."""
    if condition == "always()":
        return True
    if condition in ("failure()", "failure() || cancelled()"):
        return not well
    compared = re.fullmatch(r"([\w.]+) (==|!=) ('[^']*'|[\w.]+)", condition)
    assert compared or not condition, f"a condition that these tests do not know: {condition}"
    if not well or not compared:
        return well
    return (_value(compared[1], context) == _value(compared[3], context)) == (compared[2] == "==")
