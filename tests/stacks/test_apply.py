"""Stacks are applied to a real ZenML store: created, put right, left alone, refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stacks import apply
from stacks.apply import apply_stack
from stacks.definition import read_stack, stack_names
from stacks.errors import StackError
from tests.stacks.conftest import StackWriter, add_by_hand
from tests.zenml_store import ROOT, isolated_environment

VALIDATOR = "evidently_modern"


@pytest.fixture(scope="module")
def local(zenml_store: Path) -> Path:
    """The store with stack `local` applied."""
    apply_stack("local")
    return zenml_store


def test_local_has_what_a_run_needs(local: Path) -> None:
    from zenml.client import Client

    stack = Client().active_stack
    assert stack.name == "local"
    assert stack.artifact_store.path == str(local / "artifacts")
    assert stack.experiment_tracker.get_tracking_uri() == f"sqlite:///{local}/artifacts/mlflow.db"
    assert stack.model_registry.flavor == "mlflow"
    assert stack.data_validator.flavor == VALIDATOR
    stack.validate()


def test_second_time_changes_nothing_and_is_quick(local: Path) -> None:
    started = time.monotonic()
    summary = apply_stack("local")
    assert summary.changes == ()
    assert summary.active
    assert time.monotonic() - started < 2
    assert summary.to_dict()["components"]["data_validator"] == f"local_{VALIDATOR} ({VALIDATOR})"


def test_telemetry_is_off_in_the_store_too(local: Path) -> None:
    assert "analytics_opt_in: false" in (local / "config.yaml").read_text(encoding="utf-8")


def test_component_changed_by_hand_is_put_back(local: Path) -> None:
    from zenml.client import Client
    from zenml.enums import StackComponentType

    name, kind = f"local_{VALIDATOR}", StackComponentType.DATA_VALIDATOR
    Client().update_stack_component(name, kind, configuration={"drift_share": 0.9, "seed": 1})
    assert apply_stack("local").changes == (f"updated data_validator {name}: drift_share, seed",)
    assert Client().get_stack_component(kind, name).configuration == {"drift_share": 0.3}
    assert apply_stack("local").changes == ()


def test_bare_without_activating_it(local: Path) -> None:
    from zenml.client import Client

    summary = apply_stack("bare", activate=False)
    assert not summary.active
    assert set(summary.components) == {"orchestrator", "artifact_store"}
    assert Client().active_stack_model.name == "local"


def test_named_stack_wins_over_the_one_in_the_environment(
    local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zenml.client import Client

    apply_stack("bare", activate=False)
    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", str(Client().get_stack("bare").id))
    apply_stack("local")
    assert Client().active_stack_model.name == "local"


def test_stack_follows_its_file(local: Path, stack_file: StackWriter) -> None:
    from zenml.client import Client

    folder = stack_file("follower", data_validator={"flavor": VALIDATOR, "config": {"seed": 3}})
    assert "created stack follower" in apply_stack("follower", folder=folder).changes
    assert Client().active_stack.data_validator.config.seed == 3
    stack_file("follower", {"description": "Another."}, data_validator={"flavor": VALIDATOR})
    assert apply_stack("follower", folder=folder).changes == (
        f"updated data_validator follower_{VALIDATOR}: seed",
        "updated stack follower",
    )
    assert Client().active_stack.data_validator.config.seed == 7, "the run that follows has the new settings"
    stack_file("follower", {"description": "Another."})
    assert apply_stack("follower", folder=folder).changes == (
        "updated stack follower",
        f"removed data_validator follower_{VALIDATOR}",
    )
    assert Client().active_stack.data_validator is None
    apply_stack("local")


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An experiment tracker with a secret."""
    monkeypatch.setenv("TRACKING_PASSWORD", "a-canary")
    login = {"tracking_username": "${NOBODY:-me}", "tracking_password": "${TRACKING_PASSWORD}"}
    return {"flavor": "mlflow", "config": {"tracking_uri": "http://127.0.0.1:1", **login}}


@pytest.mark.parametrize("own", [None, "a_name_of_its_own"])
def test_what_a_file_has_no_more_goes_with_its_secret_unless_it_is_needed(
    local: Path, stack_file: StackWriter, tracker: dict[str, Any], own: str | None
) -> None:
    from zenml.client import Client

    name = own or "changing_mlflow"
    validator = {"flavor": VALIDATOR}
    folder = stack_file("changing", experiment_tracker=tracker | {"name": own}, data_validator=validator)
    stack_file("beside", data_validator={**validator, "name": f"changing_{VALIDATOR}"})
    for stack in ("changing", "beside"):
        apply_stack(stack, activate=False, folder=folder)
    secret = Client().get_secret(f"experiment_tracker_{name}")
    assert secret.secret_values["tracking_password"] == "a-canary"
    stack_file("changing")
    assert set(apply_stack("changing", activate=False, folder=folder).changes) == {
        "updated stack changing",
        f"removed experiment_tracker {name}",
        f"removed secret experiment_tracker_{name}",
        f"kept data_validator changing_{VALIDATOR}: also of stack beside",
    }
    assert not [one.name for one in Client().list_secrets().items if name in one.name]
    assert apply_stack("changing", activate=False, folder=folder).changes == ()


def test_what_somebody_else_has_made_and_added_leaves_the_stack_and_stays_with_its_secret(
    local: Path, stack_file: StackWriter
) -> None:
    from zenml.client import Client

    folder = stack_file("joined")
    apply_stack("joined", activate=False, folder=folder)
    add_by_hand("joined", "of_somebody")
    Client().create_secret("data_validator_of_somebody", {"key": "a-canary"})
    stack_file("joined", {"description": "Another."})
    assert apply_stack("joined", activate=False, folder=folder).changes == (
        "updated stack joined",
        "kept data_validator of_somebody: nothing says that `stack apply` made it",
    )
    assert Client().list_stack_components(name="of_somebody").total == 1
    assert Client().get_secret("data_validator_of_somebody").secret_values == {"key": "a-canary"}
    assert apply_stack("joined", activate=False, folder=folder).changes == ()


def test_what_an_older_apply_made_is_known_by_its_name(local: Path, stack_file: StackWriter) -> None:
    folder = stack_file("aged")
    apply_stack("aged", activate=False, folder=folder)
    add_by_hand("aged", f"aged_{VALIDATOR}")  # without the label that apply puts on it now
    stack_file("aged", {"description": "Another."})
    assert apply_stack("aged", activate=False, folder=folder).changes == (
        "updated stack aged",
        f"removed data_validator aged_{VALIDATOR}",
    )


def test_what_somebody_else_has_made_and_added_to_no_stack_stays_whatever_its_name(
    local: Path, stack_file: StackWriter
) -> None:
    from zenml.client import Client
    from zenml.enums import StackComponentType

    name = f"alone_{VALIDATOR}"
    Client().create_stack_component(name, VALIDATOR, StackComponentType.DATA_VALIDATOR, {"seed": 3})
    Client().create_secret(f"data_validator_{name}", {"key": "a-canary"})
    folder = stack_file("alone")
    assert not [
        change for change in apply_stack("alone", activate=False, folder=folder).changes if name in change
    ]
    assert Client().list_stack_components(name=name).total == 1
    assert Client().get_secret(f"data_validator_{name}").secret_values == {"key": "a-canary"}


@pytest.mark.parametrize(
    ("name", "applied"),
    [("broken", False), ("mended", True)],
    ids=["a new stack", "one that is again as it was"],
)
def test_what_an_apply_that_was_broken_off_has_left_goes_with_the_next_unless_it_is_in_the_file(
    local: Path,
    stack_file: StackWriter,
    tracker: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    applied: bool,
) -> None:
    from zenml.client import Client

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    validator = {"flavor": VALIDATOR}
    folder = stack_file(name, data_validator=validator)
    if applied:
        apply_stack(name, activate=False, folder=folder)
    stack_file(name, experiment_tracker=tracker, data_validator=validator)
    with monkeypatch.context() as broken_off:
        broken_off.setattr(apply, "_apply_stack", interrupt)
        with pytest.raises(KeyboardInterrupt):
            apply_stack(name, activate=False, folder=folder)
    stack_file(name, data_validator=validator)
    assert apply_stack(name, activate=False, folder=folder).changes == (
        *(() if applied else (f"created stack {name}",)),
        f"removed experiment_tracker {name}_mlflow",
        f"removed secret experiment_tracker_{name}_mlflow",
    )
    assert not [one.name for one in Client().list_secrets().items if name in one.name]
    assert apply_stack(name, activate=False, folder=folder).changes == ()


def test_so_does_what_it_left_under_a_name_of_its_own(
    local: Path, stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    folder = stack_file("named")
    apply_stack("named", activate=False, folder=folder)
    stack_file("named", data_validator={"flavor": VALIDATOR, "name": "own"})
    with monkeypatch.context() as broken_off:
        broken_off.setattr(apply, "_apply_stack", interrupt)
        with pytest.raises(KeyboardInterrupt):
            apply_stack("named", activate=False, folder=folder)
    apply_stack("beside", activate=False, folder=stack_file("beside"))  # it is none of this one's
    stack_file("named")
    told = apply_stack("named", activate=False, folder=folder).changes
    assert told == ("removed data_validator own",)


def test_a_deployer_that_may_serve_still_stays(local: Path, stack_file: StackWriter, tmp_path: Path) -> None:
    from zenml.client import Client
    from zenml.enums import ServiceState
    from zenml.services import ServiceConfig

    from stacks.components.mlserver_service import MLServerService

    config = {"folder": str(tmp_path / "server"), "lock": "x", "code": "{root}"}
    folder = stack_file("serving", model_deployer={"flavor": "mlserver", "config": config})
    apply_stack("serving", activate=False, folder=folder)
    served = ServiceConfig(name="severity", model_name="severity", model_version="3")
    service = Client().create_service(config=served, service_type=MLServerService.SERVICE_TYPE)
    Client().update_service(service.id, admin_state=ServiceState.ACTIVE)
    try:
        stack_file("serving")
        told = apply_stack("serving", activate=False, folder=folder).changes
    finally:
        Client().delete_service(service.id)
    why = "it may serve still: default serves severity version 3"
    assert told[-1] == f"kept model_deployer serving_mlserver: {why}"


@pytest.mark.parametrize(
    ("components", "words"),
    [
        ({"data_validater": {"flavor": VALIDATOR}}, ["data_validater", "Did you mean 'data_validator'"]),
        (
            {"data_validator": {"flavor": "evidently_modem"}},
            ["evidently_modem", f"Did you mean '{VALIDATOR}'"],
        ),
        (
            {"data_validator": {"flavor": VALIDATOR, "config": {"drift_shares": 0.2}}},
            ["drift_shares", "Did you mean 'drift_share'"],
        ),
        (
            {"data_validator": {"flavor": VALIDATOR, "config": {"drift_share": 2}}},
            ["drift_share", "less than"],
        ),
        ({"data_validator": {"flavor": VALIDATOR, "confg": {}}}, ["confg", "did you mean `config`"]),
        ({"data_validator": {"config": {}}}, ["data_validator.flavor", "required"]),
        (
            {"experiment_tracker": {"flavor": "mlflow", "config": {"tracking_uri": "http://server"}}},
            ["experiment_tracker", "authentication"],
        ),
        (
            {"artifact_store": {"flavor": "local", "config": {"path": "${ACCIDENTS_NOT_SET}"}}},
            ["ACCIDENTS_NOT_SET", "not set"],
        ),
    ],
)
def test_fault_in_a_stack_file_is_named(
    local: Path, stack_file: StackWriter, components: dict[str, dict[str, object]], words: list[str]
) -> None:
    with pytest.raises(StackError) as caught:
        apply_stack("faulty", folder=stack_file("faulty", **components))
    for word in [*words, "faulty"]:
        assert word in str(caught.value)


def test_unknown_top_level_key_is_named(zenml_store: Path, stack_file: StackWriter) -> None:
    with pytest.raises(StackError, match="did you mean `components`"):
        read_stack("odd", stack_file("odd", {"component": {}}))


def test_unknown_stack_names_those_there_are(zenml_store: Path) -> None:
    with pytest.raises(StackError, match=r"'locale'.*Did you mean 'local'.*bare.*local"):
        read_stack("locale")


def test_file_that_is_not_a_stack(zenml_store: Path, tmp_path: Path) -> None:
    (tmp_path / "text.yaml").write_text("just words", encoding="utf-8")
    (tmp_path / "broken.yaml").write_text("a: [1", encoding="utf-8")
    (tmp_path / "one.yaml").write_text("name: two\ndescription: x\ncomponents: {}\n", encoding="utf-8")
    for name, words in {"text": "must hold", "broken": "is not YAML", "one": "must agree"}.items():
        with pytest.raises(StackError, match=words):
            read_stack(name, tmp_path)


def test_name_taken_by_another_flavor(local: Path, stack_file: StackWriter) -> None:
    taken = {"flavor": "evidently", "name": f"local_{VALIDATOR}"}
    with pytest.raises(StackError, match="another `name:`"):
        apply_stack("taker", folder=stack_file("taker", data_validator=taken))


def test_placeholders(zenml_store: Path, stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEWHERE", "there")
    config = {"path": "{root}/a/${SOMEWHERE}", "list": ["{store}", 3]}
    folder = stack_file("filled", artifact_store={"flavor": "local", "config": config})
    filled = read_stack("filled", folder).settings("artifact_store")
    assert filled == {"path": f"{ROOT}/a/there", "list": [str(zenml_store), 3]}


@pytest.mark.parametrize("name", stack_names())
def test_every_stack_file_says_what_it_is_for(
    name: str, zenml_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "stacks" / f"{name}.yaml").read_text(encoding="utf-8")
    for variable in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(variable, "value")
    definition = read_stack(name)
    assert definition.description
    for kind in definition.components:
        assert "$" not in str(definition.settings(kind)), kind


def test_store_that_cannot_be_written(
    zenml_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("ZENML_CONFIG_PATH", str(tmp_path / "file" / "store"))
    with pytest.raises(StackError, match="cannot be written"):
        apply_stack("bare")


APPLY = """
import sys
from pathlib import Path
from stacks.environment import prepare_environment
prepare_environment(Path(sys.argv[1]))
from stacks.apply import apply_stack
print(*apply_stack("local").changes, sep="\\n")
from zenml.client import Client
print("validator", type(Client().active_stack.data_validator).__name__)
"""


@pytest.mark.slow
def test_two_processes_at_once_on_no_store_yet_from_elsewhere(tmp_path: Path) -> None:
    """Also: a space in the path, another working directory, and no main module to find the flavor by."""
    store, elsewhere = tmp_path / "a store", tmp_path / "elsewhere"
    elsewhere.mkdir()
    both = [
        subprocess.Popen(
            [sys.executable, "-c", APPLY, str(ROOT)],
            cwd=elsewhere,
            env=isolated_environment(store),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum("created stack local" in out for out, _ in outputs) == 1
    assert all("validator EvidentlyModernValidator" in out for out, _ in outputs)
    said = [line for _, err in outputs for line in err.splitlines() if line.strip()]
    assert all(line.startswith("ZENML_CONFIG_PATH of the shell is used") for line in said), said
    assert not any("Setting the" in out for out, _ in outputs), "applying a stack is quiet"
    assert list(elsewhere.iterdir()) == []


def test_importing_stacks_does_not_import_zenml() -> None:
    code = "import sys, stacks.apply, stacks.definition, stacks.environment; print('zenml' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
