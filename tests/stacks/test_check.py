"""`stack check` tells what works and what does not, each with what to do, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.apply import apply_stack
from stacks.check import Finding, check_stack
from stacks.component_round_trips import Probe
from stacks.components.mlserver.folder import ServedModel, ServerFolder
from stacks.zenml_store import opened_store
from tests.processes import free_port
from tests.stacks.conftest import StackWriter


def check(name: str, folder: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in check_stack(name, folder)}


def wrong(findings: dict[str, Finding]) -> dict[str, str]:
    return {what: finding.words for what, finding in findings.items() if not finding.well}


def test_each_part_of_a_sound_stack_is_tried(
    zenml_store: Path, stack_file: StackWriter, tmp_path: Path
) -> None:
    from zenml.client import Client

    apply_stack("bare")
    store = {"flavor": "local", "config": {"path": str(tmp_path / "artifacts")}}
    folder = stack_file("sound", artifact_store=store, experiment_tracker={"flavor": "mlflow"})
    apply_stack("sound", activate=False, folder=folder)
    found = check("sound", folder)
    assert wrong(found) == {}
    assert "wrote, read and deleted" in found["artifact_store sound_local"].words
    uri = f"sqlite:///{tmp_path}/artifacts/mlflow.db"
    assert found["experiment_tracker sound_mlflow"].words == f"logged and deleted a run at {uri}"
    assert found["orchestrator sound_local"].words == "made, of flavor local"
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == ["mlflow.db"]
    assert Client().active_stack_model.name == "bare", "the stack that was active still is"


def test_while_servers_are_asked_other_commands_have_the_store(
    zenml_store: Path, stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer may take minutes."""

    def beside(_: object) -> str:
        with opened_store():
            return "had the store"

    folder = stack_file("slow")
    apply_stack("slow", activate=False, folder=folder)
    monkeypatch.setattr("stacks.zenml_store.LOCK_SECONDS", 1)
    monkeypatch.setattr("stacks.check.probe_of", lambda _: Probe(beside, ""))
    found = check("slow", folder)
    assert wrong(found) == {}
    assert found["artifact_store slow_local"].words == "had the store"


def test_a_stack_that_was_not_applied_is_checked_as_far_as_its_file_goes(
    zenml_store: Path, stack_file: StackWriter
) -> None:
    from zenml.client import Client

    found = check("new", stack_file("new", data_validator={"flavor": "evidently_modern"}))
    assert wrong(found) == {"in the store": "not applied: python run.py stack apply new"}
    assert found["data_validator"].words == "flavor evidently_modern is installed and takes these settings"
    assert not Client().list_stacks(name="new").items


@pytest.mark.parametrize(
    ("component", "what", "told"),
    [
        ({"experiment_tracker": {"flavor": "mlflwo"}}, "experiment_tracker", "Did you mean 'mlflow'"),
        (
            {"experiment_tracker": {"flavor": "wandb", "config": {"api_key": "${HOME}"}}},
            "experiment_tracker",
            "package that is not installed",
        ),
        (
            {"data_validator": {"flavor": "evidently_modern", "config": {"drift_shar": 1}}},
            "data_validator",
            "Did you mean 'drift_share'",
        ),
        ({"experiment_tracker": {"flavor": "wandb"}}, "experiment_tracker", "not valid: api_key: Field"),
        ({"orchestrater": {"flavor": "local"}}, "orchestrater", "Did you mean 'orchestrator'"),
        ({"data_validator": {"flavour": "x"}}, "file", "did you mean `flavor`"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(
    zenml_store: Path, stack_file: StackWriter, component: dict[str, object], what: str, told: str
) -> None:
    faults = wrong(check("faulty", stack_file("faulty", **component)))
    assert told in faults[what]
    assert "Traceback" not in str(faults)


def test_a_place_that_cannot_be_written_and_a_tracker_that_does_not_answer_are_told(
    zenml_store: Path, stack_file: StackWriter, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    tracker = {"tracking_uri": f"http://127.0.0.1:{free_port()}", "tracking_token": "${HOME}"}
    folder = stack_file(
        "lost",
        artifact_store={"flavor": "local", "config": {"path": str(tmp_path / "file" / "artifacts")}},
        experiment_tracker={"flavor": "mlflow", "config": tracker},
    )
    apply_stack("lost", activate=False, folder=folder)
    faults = wrong(check("lost", folder))
    assert set(faults) == {"artifact_store lost_local", "experiment_tracker lost_mlflow"}
    assert "may this user write there" in faults["artifact_store lost_local"]
    assert "Nothing answers there. Start the server" in faults["experiment_tracker lost_mlflow"]


def test_a_model_that_should_be_served_and_is_not_is_told(
    zenml_store: Path, stack_file: StackWriter, tmp_path: Path
) -> None:
    ServerFolder(tmp_path / "server").serve(ServedModel("severity", "3", "of its bundle"))
    config = {"folder": str(tmp_path / "server"), "lock": "x", "code": "{root}"}
    deployer = {"flavor": "mlserver", "config": config}
    folder = stack_file("dead", model_deployer=deployer)
    apply_stack("dead", activate=False, folder=folder)
    fault = wrong(check("dead", folder))["model_deployer dead_mlserver"]
    assert "severity: the model server has ended" in fault
    assert "--pipeline deploy" in fault
