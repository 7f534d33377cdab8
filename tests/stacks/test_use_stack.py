"""A command's stack: applied by itself on a store of this machine, only asked for on a shared one."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks import apply, state
from stacks.apply import apply_stack, use_stack
from stacks.definition import read_raw
from stacks.errors import StackError
from stacks.overview import list_stacks
from stacks.state import file_digest
from tests.stacks.conftest import StackWriter, add_by_hand

VALIDATOR = "evidently_modern"


def seed(name: str) -> int | None:
    """The setting `seed` of a stack's data validator, as the store has it."""
    from zenml.client import Client
    from zenml.enums import StackComponentType

    kind = StackComponentType.DATA_VALIDATOR
    found = Client().get_stack_component(kind, f"{name}_{VALIDATOR}").configuration.get("seed")
    return None if found is None else int(found)


def write(stack_file: StackWriter, name: str, number: int) -> Path:
    return stack_file(name, data_validator={"flavor": VALIDATOR, "config": {"seed": number}})


def states(folder: Path) -> dict[str, str]:
    return {line.name: line.state for line in list_stacks(folder)}


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the tests' store for one that others use, too."""
    monkeypatch.setattr(apply, "is_embedded", lambda client: False)


def test_on_a_store_of_this_machine_the_file_is_followed(zenml_store: Path, stack_file: StackWriter) -> None:
    from zenml.client import Client

    folder = write(stack_file, "followed", 3)
    assert states(folder) == {"followed": "not applied"}
    use_stack("followed", folder)
    assert (Client().active_stack_model.name, seed("followed")) == ("followed", 3)
    write(stack_file, "followed", 4)
    assert states(folder) == {"followed": "changed since"}
    use_stack("followed", folder)
    assert (states(folder), seed("followed")) == ({"followed": "applied"}, 4)


def test_on_a_shared_store_only_apply_changes_anything(
    zenml_store: Path, stack_file: StackWriter, shared: None
) -> None:
    from zenml.client import Client

    folder = write(stack_file, "common", 3)
    with pytest.raises(StackError, match=r"common has not been applied .* run\.py stack apply common"):
        use_stack("common", folder)
    assert not Client().list_stacks(name="common").items
    assert "created stack common" in apply_stack("common", activate=False, folder=folder).changes
    use_stack("common", folder)
    assert Client().active_stack_model.name == "common"
    write(stack_file, "common", 4)
    with pytest.raises(StackError, match=r"not what was applied .* run\.py stack apply common"):
        use_stack("common", folder)
    assert seed("common") == 3
    apply_stack("common", activate=False, folder=folder)
    use_stack("common", folder)
    assert seed("common") == 4
    assert Client().active_stack.data_validator.config.seed == 4, "also of the stack that was active before"


def test_on_a_shared_store_an_image_of_the_shell_is_deployed_only_once_it_is_applied(
    zenml_store: Path, stack_file: StackWriter, shared: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a release: docs/releasing.md."""

    def image() -> str:
        from zenml.client import Client
        from zenml.enums import StackComponentType

        found = Client().get_stack_component(StackComponentType.MODEL_DEPLOYER, "released_mlserver")
        return str(found.configuration["image"])

    folder = stack_file("released", model_deployer=read_raw("staging")["components"]["model_deployer"])
    monkeypatch.setenv("MODEL_SERVER_IMAGE", "registry.example/model-server:1")
    apply_stack("released", activate=False, folder=folder)
    assert use_stack("released", folder) == []
    monkeypatch.setenv("MODEL_SERVER_IMAGE", "registry.example/model-server:2")
    assert use_stack("released", folder) == ["MODEL_SERVER_IMAGE"]
    assert image().endswith(":1")
    apply_stack("released", activate=False, folder=folder)
    assert use_stack("released", folder) == []
    assert image().endswith(":2")
    monkeypatch.delenv("MODEL_SERVER_IMAGE")  # somebody else's shell says nothing of it
    assert use_stack("released", folder) == []


def test_on_a_shared_store_another_flavor_of_the_shell_is_told_and_what_others_have_added_is_let_be(
    zenml_store: Path, stack_file: StackWriter, shared: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stack_file("team", orchestrator=read_raw("staging")["components"]["orchestrator"])
    apply_stack("team", activate=False, folder=folder)
    monkeypatch.setenv("ACCIDENTS_ORCHESTRATOR", "local_image")
    assert use_stack("team", folder) == ["ACCIDENTS_ORCHESTRATOR"]
    monkeypatch.setenv("ACCIDENTS_ORCHESTRATOR", "local")
    assert use_stack("team", folder) == []
    add_by_hand("team", "of_somebody")
    assert use_stack("team", folder) == []


def test_comments_do_not_count_as_a_change(zenml_store: Path, stack_file: StackWriter) -> None:
    folder = write(stack_file, "commented", 3)
    before = file_digest("commented", folder)
    path = folder / "commented.yaml"
    path.write_text(f"# Why.\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    assert file_digest("commented", folder) == before


def test_an_older_stack_without_a_digest_gets_one(zenml_store: Path, stack_file: StackWriter) -> None:
    from zenml.client import Client
    from zenml.models import StackUpdate

    folder = write(stack_file, "older", 3)
    apply_stack("older", activate=False, folder=folder)
    client = Client()
    stack = client.get_stack("older")
    client.zen_store.update_stack(stack.id, StackUpdate(labels={"team": "roads"}))
    assert states(folder) == {"older": "changed since"}
    assert apply_stack("older", activate=False, folder=folder).changes == ()
    assert client.get_stack("older").labels == {"team": "roads", state.LABEL: file_digest("older", folder)}


def test_every_stack_file_is_listed_also_one_that_cannot_be_read(
    zenml_store: Path, stack_file: StackWriter
) -> None:
    folder = write(stack_file, "listed", 3)
    use_stack("listed", folder)
    stack_file("broken", {"components": {"orchestrator": {"flavour": "local"}}})
    broken, listed = list_stacks(folder)
    assert "did you mean `flavor`" in broken.state
    assert (listed.active, listed.state) == (True, "applied")
    assert listed.components["data_validator"] == VALIDATOR
