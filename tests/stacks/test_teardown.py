"""A stack is taken away with what only it needs; data, and what others use, stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stacks import teardown
from stacks.apply import apply_stack
from stacks.components.mlserver.folder import ServedModel, ServerFolder
from stacks.errors import StackError
from stacks.teardown import teardown_stack
from tests.stacks.conftest import StackWriter, add_by_hand

pytestmark = pytest.mark.filterwarnings("error::sqlalchemy.exc.SAWarning")


def stacks() -> set[str]:
    from zenml.client import Client

    return {stack.name for stack in Client().list_stacks(size=500).items}


def components() -> set[str]:
    from zenml.client import Client

    return {component.name for component in Client().list_stack_components(size=500).items}


def test_what_apply_made_goes_and_apply_brings_it_back(zenml_store: Path, stack_file: StackWriter) -> None:
    before = stacks(), components()
    folder = stack_file("passing", data_validator={"flavor": "evidently_modern"})
    made = apply_stack("passing", activate=False, folder=folder).changes
    assert {"passing_local", "passing_evidently_modern"} <= components()
    told = teardown_stack("passing", folder=folder)
    assert told[0] == "removed stack passing"
    assert sorted(told[1:]) == [
        "removed artifact_store passing_local",
        "removed data_validator passing_evidently_modern",
        "removed orchestrator passing_local",
    ]
    assert (stacks(), components()) == before
    again = apply_stack("passing", activate=False, folder=folder).changes
    assert set(again) == {change for change in made if "flavor" not in change}
    teardown_stack("passing", folder=folder)


def test_what_another_stack_uses_stays(zenml_store: Path, stack_file: StackWriter) -> None:
    folder = stack_file("first", data_validator={"flavor": "evidently_modern"})
    stack_file("second", artifact_store={"flavor": "local", "name": "first_local"})
    for name in ("first", "second"):
        apply_stack(name, activate=False, folder=folder)
    assert "kept artifact_store first_local: also of stack second" in teardown_stack("first", folder=folder)
    assert stacks() >= {"second"}
    teardown_stack("second", folder=folder)
    assert "first_local" not in components()


def test_what_an_older_apply_made_for_two_goes_with_the_second(
    zenml_store: Path, stack_file: StackWriter
) -> None:
    """Named after a stack of ours, and without the label that apply puts on it now."""
    from zenml.client import Client
    from zenml.enums import StackComponentType

    Client().create_stack_component(
        "local_local", flavor="local", component_type=StackComponentType.ORCHESTRATOR, configuration={}
    )
    folder = stack_file("shares", orchestrator={"flavor": "local", "name": "local_local"})
    apply_stack("shares", activate=False, folder=folder)
    assert "removed orchestrator local_local" in teardown_stack("shares", folder=folder)


def test_what_somebody_else_has_made_and_added_stays(zenml_store: Path, stack_file: StackWriter) -> None:
    folder = stack_file("joined")
    apply_stack("joined", activate=False, folder=folder)
    add_by_hand("joined", "of_somebody")
    told = teardown_stack("joined", folder=folder)
    assert "kept data_validator of_somebody: nothing says that `stack apply` made it" in told
    assert {"of_somebody"} == components() & {"of_somebody", "joined_local"}


def applied_with_a_store(name: str, stack_file: StackWriter, artifacts: Path) -> Path:
    """Return the folder of the file of a stack that has an artifact store of its own there."""
    folder = stack_file(name, artifact_store={"flavor": "local", "config": {"path": str(artifacts)}})
    apply_stack(name, folder=folder)
    return folder


def test_an_artifact_store_that_something_lies_in_stays_and_so_does_what_lies_there(
    zenml_store: Path, stack_file: StackWriter, tmp_path: Path
) -> None:
    from zenml import save_artifact
    from zenml.client import Client

    folder = applied_with_a_store("kept", stack_file, tmp_path / "artifacts")
    saved = save_artifact([1, 2, 3], "some-numbers")
    told = teardown_stack("kept", sure=True, folder=folder)
    assert "kept artifact_store kept_local: 1 artifacts lie in it" in told
    assert "removed orchestrator kept_local" in told
    assert Client().get_artifact_version(saved.id).load() == [1, 2, 3]


@pytest.fixture
def another_project(zenml_store: Path) -> Iterator[str]:
    """The name of a second project of the store, which is not the active one."""
    from zenml.client import Client

    client, name = Client(), "another-team"
    client.create_project(name, description="")
    yield name
    client.delete_project(name)


@contextmanager
def active(project: str) -> Iterator[None]:
    """Have it ZenML's active project, as it is for who works in it."""
    from zenml.client import Client

    before = Client().active_project.name
    Client().set_active_project(project)
    try:
        yield
    finally:
        Client().set_active_project(before)


def test_so_does_one_that_something_of_another_project_lies_in(
    another_project: str, stack_file: StackWriter, tmp_path: Path
) -> None:
    from zenml import save_artifact
    from zenml.client import Client

    folder = applied_with_a_store("common", stack_file, tmp_path / "artifacts")
    with active(another_project):
        saved = save_artifact([1, 2, 3], "their-numbers")
    told = teardown_stack("common", sure=True, folder=folder)
    assert "kept artifact_store common_local: 1 artifacts lie in it" in told
    assert Client().get_artifact_version(saved.id, project=another_project).load() == [1, 2, 3]


def test_the_active_stack_goes_only_if_that_is_meant(zenml_store: Path, stack_file: StackWriter) -> None:
    from zenml.client import Client

    folder = stack_file("reigning")
    apply_stack("reigning", folder=folder)
    with pytest.raises(StackError, match=r"is active\. With --yes"):
        teardown_stack("reigning", folder=folder)
    assert "reigning" in stacks()
    assert "activated stack default" in teardown_stack("reigning", sure=True, folder=folder)
    assert Client().active_stack_model.name == "default"


def test_a_stack_that_serves_is_left_alone(
    zenml_store: Path, stack_file: StackWriter, tmp_path: Path
) -> None:
    server = ServerFolder(tmp_path / "server")
    server.serve(ServedModel("severity", "3", "of its bundle"))
    config = {"folder": str(server.root), "lock": "x", "code": "{root}"}
    folder = stack_file("serving", model_deployer={"flavor": "mlserver", "config": config})
    apply_stack("serving", activate=False, folder=folder)
    with pytest.raises(StackError, match=r"severity version 3 is being served.*run\.py stop --stack serving"):
        teardown_stack("serving", folder=folder)
    assert "serving" in stacks()
    server.stop("severity")
    teardown_stack("serving", folder=folder)
    assert "serving" not in stacks()


def test_an_active_stack_that_serves_stays_active(
    zenml_store: Path, stack_file: StackWriter, tmp_path: Path
) -> None:
    from zenml.client import Client

    server = ServerFolder(tmp_path / "server")
    server.serve(ServedModel("severity", "3", "of its bundle"))
    config = {"folder": str(server.root), "lock": "x", "code": "{root}"}
    folder = stack_file("in_use", model_deployer={"flavor": "mlserver", "config": config})
    apply_stack("in_use", folder=folder)
    with pytest.raises(StackError, match="is being served"):
        teardown_stack("in_use", sure=True, folder=folder)
    assert Client().active_stack_model.name == "in_use"
    server.stop("severity")
    teardown_stack("in_use", sure=True, folder=folder)


@pytest.mark.parametrize(
    ("deployer", "project"),
    [("mlserver", "default"), ("seldon_core", "default"), ("mlserver", "another-team")],
    ids=["a machine", "a cluster", "in another project"],
)
def test_what_is_served_out_of_sight_is_told_by_a_shared_server(
    deployer: str,
    project: str,
    another_project: str,
    stack_file: StackWriter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from zenml.client import Client
    from zenml.enums import ServiceState
    from zenml.services import ServiceConfig

    from stacks.components.mlserver_service import MLServerService
    from stacks.components.seldon_core_service import SeldonCoreService

    monkeypatch.setattr(teardown, "is_embedded", lambda client: False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))  # who tears it down has no way to the cluster
    kind, config = {
        "mlserver": (MLServerService, {"folder": str(tmp_path / "server"), "lock": "x", "code": "{root}"}),
        "seldon_core": (SeldonCoreService, {"runtime": "deployment"}),
    }[deployer]
    folder = stack_file("shared", model_deployer={"flavor": deployer, "config": config})
    apply_stack("shared", activate=False, folder=folder)
    with active(project):
        service = Client().create_service(
            config=ServiceConfig(name="severity", model_name="severity", model_version="3"),
            service_type=kind.SERVICE_TYPE,
        )
        Client().update_service(service.id, admin_state=ServiceState.ACTIVE)
    try:
        with pytest.raises(StackError, match=r"default serves severity version 3.*With --yes"):
            teardown_stack("shared", folder=folder)
        assert "shared" in stacks()
        assert "removed stack shared" in teardown_stack("shared", sure=True, folder=folder)
    finally:
        Client().delete_service(service.id, project=project)


def test_only_stacks_of_a_file_are_torn_down(zenml_store: Path, stack_file: StackWriter) -> None:
    with pytest.raises(StackError, match="nothing to tear down"):
        teardown_stack("nowhere", folder=stack_file("other"))
    with pytest.raises(StackError, match="was not made by `stack apply`"):
        teardown_stack("default", folder=stack_file("other"))
