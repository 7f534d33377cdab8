"""Runs are started, waited for and read the same, wherever their steps run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from zenml import save_artifact
from zenml.client import Client
from zenml.enums import ExecutionStatus, StackComponentType

from accidents.errors import AccidentsError, SettingsError, SourceError
from accidents.files import whole_folder
from pipelines import runs
from pipelines.code import code_commit
from pipelines.config import PipelineConfig
from stacks.apply import apply_stack
from steps.folder import Folder
from steps.support.references import VersionReference
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["here", "elsewhere"])
def where(request: pytest.FixtureRequest, zenml_store: Path) -> Iterator[str]:
    """A stack whose steps run in this process, and one whose steps run in others while nobody waits."""
    apply_stack("bare")
    client, bare = Client(), Client().active_stack_model
    if request.param == "elsewhere":
        kind = StackComponentType.ORCHESTRATOR
        client.create_flavor("tests.pipelines.elsewhere.ElsewhereFlavor", kind)
        client.create_stack_component("elsewhere", "elsewhere", kind, {})
        store = StackComponentType.ARTIFACT_STORE
        client.create_stack_component("elsewhere", "local", store, {"path": str(zenml_store / "elsewhere")})
        client.create_stack("elsewhere", {kind: "elsewhere", store: "elsewhere"})
        client.activate_stack("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "LONGEST_PAUSE", 0.5)
        yield request.param
    client.activate_stack(bare.id)


def test_what_it_left_is_read_from_the_store(where: str, tmp_path: Path) -> None:
    from tests.pipelines.elsewhere_steps import elsewhere

    run = runs.run(elsewhere, PipelineConfig())
    process = run.load("where", "process")
    assert (process == os.getpid()) == (where == "here")
    told = Client().get_pipeline_run(run.name).run_metadata["code"]
    assert told == {"git_commit": code_commit(), "image": "no image"}
    assert run.commit == code_commit()
    run.export([("write", "written"), ("absent", "written")], whole_folder(tmp_path / "out"))
    assert (tmp_path / "out" / "process.txt").read_text() == str(process)
    assert run.cached == 0


def test_a_step_that_failed_tells_its_own_reason(where: str) -> None:
    from tests.pipelines.elsewhere_steps import WORD, elsewhere

    with pytest.raises(SourceError) as told:
        runs.run(elsewhere, PipelineConfig(), how="error")
    assert str(told.value) == WORD


def test_a_defect_stays_one_and_tells_where_it_is(where: str) -> None:
    from tests.pipelines.elsewhere_steps import elsewhere

    with pytest.raises(ZeroDivisionError, match="a defect") as told:
        runs.run(elsewhere, PipelineConfig(), how="defect")
    noted = "".join(getattr(told.value, "__notes__", []))
    assert where == "here" or ("In step where" in noted and "elsewhere_steps.py" in noted)


@pytest.mark.parametrize("where", ["here"], indirect=True)
def test_a_run_that_is_broken_off_tells_its_code_too(where: str) -> None:
    from tests.pipelines.elsewhere_steps import elsewhere

    with pytest.raises(KeyboardInterrupt):
        runs.run(elsewhere, PipelineConfig(), how="broken off")
    (last,) = Client().list_pipeline_runs(sort_by="desc:created", size=1, hydrate=True).items
    assert last.run_metadata["code"] == {"git_commit": code_commit(), "image": "no image"}


def test_what_was_raised_here_is_told_where_the_store_has_no_word_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = ExecutionStatus.FAILED
    step = SimpleNamespace(name="train_model", status=failed, exception_info=None)
    ended = SimpleNamespace(name="train-1", status=failed, steps={"train_model": step})
    monkeypatch.setattr(runs, "_ended", lambda _: ended)
    with pytest.raises(OSError, match="S3 has gone"):
        runs.wait("train-1", OSError("S3 has gone"))
    with pytest.raises(runs.RunError, match="train_model of run train-1 failed and left no word"):
        runs.wait("train-1")


@pytest.mark.parametrize("where", ["elsewhere"], indirect=True)  # here this process would be killed
def test_steps_that_were_killed_end_the_wait(where: str) -> None:
    from tests.pipelines.elsewhere_steps import elsewhere

    with pytest.raises(AccidentsError, match=r"elsewhere-.* ended as failed"):
        runs.run(elsewhere, PipelineConfig(), how="killed")


def test_an_export_that_fails_leaves_the_one_before_alone(where: str, tmp_path: Path) -> None:
    from tests.pipelines.elsewhere_steps import elsewhere

    run, out = runs.run(elsewhere, PipelineConfig()), tmp_path / "out"
    out.mkdir()
    (out / "before.txt").write_text("before")
    with pytest.raises(KeyError):
        run.export([("write", "written"), ("where", "no such output")], whole_folder(out))
    assert [path.name for path in tmp_path.rglob("*.txt")] == ["before.txt"]


def test_what_is_refused_before_it_begins_is_no_run(where: str) -> None:
    from tests.pipelines.elsewhere_steps import elsewhere

    before = Client().list_pipeline_runs().total
    with pytest.raises(ValueError, match="entrypoint arguments"):
        runs.run(elsewhere, PipelineConfig(), nobody="knows")
    assert Client().list_pipeline_runs().total == before


def test_a_step_that_is_not_there_and_a_schedule_that_nobody_keeps_are_refused(where: str) -> None:
    from tests.pipelines.elsewhere_steps import elsewhere

    def config(**said: object) -> PipelineConfig:
        return PipelineConfig.model_validate(said)

    cron = config(schedule={"cron_expression": "0 3 * * *"})
    with pytest.raises(SettingsError, match=r"`steps.wite`, did you mean `write`"):
        runs.run(elsewhere, config(steps={"wite": {}}))
    with pytest.raises(SettingsError, match="for train alone"):
        runs.run(elsewhere, cron)
    with pytest.raises(SettingsError, match="keeps no `schedule`"):
        runs.schedule(elsewhere, cron)


def test_an_image_is_refused_where_none_is_built(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.pipelines.elsewhere_steps import elsewhere

    docker = {"settings": {"docker": {"parent_image": "r/gpu:1"}}}
    config = PipelineConfig.model_validate({"steps": {"where": docker}})
    with pytest.raises(SettingsError, match=r"has no effect on stack \w+, whose steps run on this machine"):
        runs.run(elsewhere, config)
    in_image = SimpleNamespace(image="accidents:1")
    monkeypatch.setattr(runs, "image_orchestrator", lambda: in_image)
    with pytest.raises(SettingsError, match=r"run in accidents:1: .*`image` in stacks/\w+\.yaml"):
        runs.run(elsewhere, PipelineConfig.model_validate(docker))


@pytest.mark.parametrize(
    ("orchestrator", "builds"),
    [
        ("flavor: local_docker", True),
        ("flavor: kubernetes\n    config: {local: true, skip_local_validations: true}", True),
        ("flavor: airflow_local", False),
    ],
)
def test_an_image_is_taken_where_zenml_builds_it_on_this_machine_too(
    zenml_store: Path, tmp_path: Path, orchestrator: str, builds: bool
) -> None:
    from tests.pipelines.elsewhere_steps import elsewhere

    (tmp_path / "one.yaml").write_text(
        f"name: one\ndescription: of a test\ncomponents:\n  orchestrator:\n    {orchestrator}\n"
        '  artifact_store:\n    flavor: local\n    config: {path: "{store}/artifacts"}\n'
    )
    client, before = Client(), Client().active_stack_model.id
    apply_stack("one", folder=tmp_path)
    try:
        assert client.active_stack.orchestrator.config.is_local
        config = PipelineConfig.model_validate({"settings": {"docker": {"parent_image": "r/gpu:1"}}})
        expected = nullcontext() if builds else pytest.raises(SettingsError, match="in no container")
        with expected:
            runs._check_image(elsewhere, config)
    finally:
        client.activate_stack(before)


@pytest.mark.parametrize("check", ["require_own_code", "_require_bucket"])
@pytest.mark.parametrize("where", ["here"], indirect=True)
def test_a_schedule_is_refused_for_what_a_run_is_refused_for(
    where: str, monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    from tests.pipelines.elsewhere_steps import elsewhere

    def refuse() -> None:
        raise SettingsError("whose code is not this clone's")

    monkeypatch.setattr(type(Client().active_stack.orchestrator.config), "is_schedulable", True)
    monkeypatch.setattr(runs, check, refuse)
    cron = PipelineConfig.model_validate({"schedule": {"cron_expression": "0 3 * * *"}})
    for start, config in ((runs.run, cron.now()), (runs.schedule, cron)):
        with pytest.raises(SettingsError, match="not this clone's"):
            start(elsewhere, config)


def test_a_bundle_is_used_from_whichever_store_it_is_in_and_not_made_again(
    where: str, tmp_path: Path
) -> None:
    from tests.pipelines.elsewhere_steps import reuse

    client, stack = Client(), Client().active_stack_model.id
    (tmp_path / "a.txt").write_text("made once")
    client.activate_stack("bare")
    made = save_artifact(Folder(tmp_path), f"bundle-{where}")
    client.activate_stack(stack)
    version = VersionReference(name="a", version="1", artifact=str(made.id), uri=made.uri, digest="")
    run = runs.run(reuse, PipelineConfig(), version=version)
    assert run.load("read", "text") == "made once"
    assert [one.id for one in run.steps["read"].inputs["bundle"]] == [made.id]
    assert client.list_artifact_versions(artifact=f"bundle-{where}").total == 1
