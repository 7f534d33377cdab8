"""MLflow's registry follows ZenML's versions, also after it was lost or a crash came in between."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from accidents.bundle import Bundle
from stacks.apply import apply_stack
from steps.promotion.register_model import register
from steps.support import champion_and_versions, registry_mirror
from steps.support.registry_mirror import MirrorError
from steps.support.tracking import log_model, run_of
from tests.model_servers import make_version
from tests.stacks.conftest import write_stack
from tests.steps.test_promote_model import make_bundle, version_of
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]

pytestmark = pytest.mark.slow
NAME = "followed"  # ZenML takes part of a name for the whole: "m" is another model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_version(tmp_path_factory.mktemp("bundle"), seed=1).bundle


@pytest.fixture(scope="module")
def mlflow(zenml_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """MLflow's client of an active stack with tracker and registry, and an empty model in ZenML."""
    from zenml.client import Client

    components = {"experiment_tracker": {"flavor": "mlflow"}, "model_registry": {"flavor": "mlflow"}}
    folder = write_stack(tmp_path_factory.mktemp("stacks"), "mirroring", **components)
    before = Client().active_stack_model.name
    apply_stack("mirroring", folder=folder)
    Client().create_model(NAME)
    tracker: Any = Client().active_stack.experiment_tracker
    tracker.configure_mlflow()
    from mlflow import MlflowClient

    yield MlflowClient()
    Client().activate_stack(before)


def test_a_version_that_a_crash_left_out_of_the_registry_is_registered_before_it_is_promoted(
    mlflow: Any, bundle: Bundle
) -> None:
    one = champion_and_versions.version(NAME, version_of(bundle, NAME))
    assert not registry_mirror.has(one)
    champion_and_versions.promote(one, "by hand")
    held = mlflow.get_model_version_by_alias(NAME, "champion")
    assert str(held.version) == registry_mirror.registry_version(one)
    assert held.tags["bundle"] == bundle.digest
    assert not Path("mlruns").exists()


def test_the_registered_model_takes_every_feature_as_one_that_may_be_missing(
    mlflow: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd
    from mlflow.pyfunc import load_model

    monkeypatch.setattr(sys, "path", list(sys.path))  # the model's few files would stay before ours
    model = load_model(f"models:/{NAME}@champion")
    inputs = model.metadata.get_input_schema().inputs
    assert [column.name for column in inputs] == bundle.features
    assert not any(column.required for column in inputs)
    said = pd.DataFrame({"speed_limit": [80.0, None], "light": [1.0, 5.0]})
    expected = bundle.predict(said.reindex(columns=bundle.features).to_numpy(np.float32))
    np.testing.assert_allclose(model.predict(said), expected)


def test_a_lost_registry_is_made_up_for_by_the_next_promotion(mlflow: Any, bundle: Bundle) -> None:
    mlflow.delete_registered_model(NAME)
    one = champion_and_versions.champion(NAME)
    assert one is not None
    assert not registry_mirror.has(one)
    champion_and_versions.promote(one, "by hand")
    assert mlflow.get_model_version_by_alias(NAME, "champion").tags["bundle"] == bundle.digest


def test_what_the_registry_cannot_be_given_is_not_promoted(
    mlflow: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = champion_and_versions.champion(NAME)
    assert champion is not None
    two = champion_and_versions.version(NAME, version_of(bundle, NAME))

    def down(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("mlflow.pyfunc.log_model", down)
    with pytest.raises(MirrorError, match=r"cannot be given it: the disk is full\. No version was changed"):
        champion_and_versions.promote(two, "by hand")
    assert champion_and_versions.champion(NAME).id == champion.id
    held = mlflow.get_model_version_by_alias(NAME, "champion")
    assert str(held.version) == registry_mirror.registry_version(champion)


def failing(*_: object, **__: object) -> None:
    from mlflow.exceptions import MlflowException

    raise MlflowException("out of order")


def test_a_registry_that_fails_is_not_taken_for_one_that_lacks_the_version(
    mlflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = champion_and_versions.champion(NAME)
    assert champion is not None
    monkeypatch.setattr(type(mlflow), "get_model_version", failing)
    with pytest.raises(MirrorError, match="cannot be asked: out of order"):
        registry_mirror.has(champion)


@pytest.mark.parametrize(
    ("seed", "place"), list(enumerate(["refused", "answer lost", "ZenML fails", "ZenML fails at last"]))
)
def test_what_cannot_be_registered_leaves_nothing_and_the_next_training_registers_it(
    mlflow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, place: str
) -> None:
    made = make_bundle(tmp_path / "bundle", seed=seed, trees=2)
    context = SimpleNamespace(step_run=SimpleNamespace(inputs={}))
    monkeypatch.setattr("steps.promotion.register_model.get_step_context", lambda: context)
    create = type(mlflow).create_model_version
    before = of_model_m(mlflow)
    with monkeypatch.context() as patched:
        if place == "ZenML fails":
            patched.setattr("zenml.log_metadata", failing)
        elif place == "ZenML fails at last":
            patched.setattr("steps.promotion.register_model.log_metadata", failing)
        elif place == "refused":
            patched.setattr(type(mlflow), "create_model_version", failing)
        else:
            patched.setattr(
                type(mlflow), "create_model_version", lambda *given, **more: failing(create(*given, **more))
            )
        with pytest.raises(Exception, match="out of order"):
            registered(made)
    assert of_model_m(mlflow) == before
    number = registered(made)
    one = champion_and_versions.version("m", number)
    assert registry_mirror.has(one)
    assert of_model_m(mlflow) == (
        [*before[0], one.number],
        {*before[1], registry_mirror.registry_version(one)},
    )


def test_what_this_registry_holds_under_another_number_than_the_last_one_is_found_again(
    mlflow: Any, tmp_path: Path
) -> None:
    from zenml import log_metadata
    from zenml.client import Client

    Client().create_model("elsewhere")
    made = make_bundle(tmp_path / "bundle", seed=9, trees=2)
    one = champion_and_versions.version("elsewhere", version_of(made, "elsewhere"))
    champion_and_versions.complete(one)
    number = registry_mirror.registry_version(one)
    log_metadata(
        metadata={registry_mirror.NUMBER: "999"}, model_version_id=one.id
    )  # as another stack's has it
    champion_and_versions.complete(champion_and_versions.version("elsewhere", str(one.number)))
    assert registry_mirror.registry_version(one) == number
    assert [str(held.version) for held in mlflow.search_model_versions("name='elsewhere'")] == [number]


def test_what_a_training_that_was_killed_left_in_the_registry_goes_with_the_next(
    mlflow: Any, bundle: Bundle
) -> None:
    from zenml.client import Client

    name = "killed"
    Client().create_model(name)
    half = Client().create_model_version(name)
    with run_of(name):
        registry_mirror.register(half, *log_model(bundle), {"bundle": bundle.digest})
    assert len(mlflow.search_model_versions(f"name='{name}'")) == 1
    champion_and_versions.bury(name)
    assert not mlflow.search_model_versions(f"name='{name}'")


def registered(bundle: Bundle) -> str:
    """Register it as a training does; return the number of its version."""
    tags = {"bundle": bundle.digest, "identity": str(bundle.identity)}
    with run_of("m"):
        return register(bundle, tags, {}, lambda: None)[0]


def of_model_m(mlflow: Any) -> tuple[list[int], set[str]]:
    """Numbers of its versions in ZenML, finished or not, and in MLflow."""
    there = {str(one.version) for one in mlflow.search_model_versions("name='m'")}
    return [one.number for one in champion_and_versions._all("m")], there
