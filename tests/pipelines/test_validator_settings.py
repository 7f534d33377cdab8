"""What a data validator finds is not handed out again once the validator is another."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from stacks.apply import apply_stack
from tests.stacks.conftest import write_stack
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]


def test_its_settings_are_told_as_the_stack_has_them(zenml_store: Path, tmp_path: Path) -> None:
    from pipelines.train import validator

    told = []
    for share in (0.3, 0.3, 0.5):
        component = {"flavor": "evidently_modern", "config": {"drift_share": share}}
        apply_stack("validated", folder=write_stack(tmp_path, "validated", data_validator=component))
        told.append(validator())
    assert told[0]["flavor"] == "evidently_modern"
    assert told[0] == told[1]
    assert told[1] != told[2]


@pytest.mark.usefixtures("zenml_store")
@pytest.mark.parametrize("module", ["steps.data.validate_data", "steps.scoring.check_drift"])
def test_they_are_among_what_a_cached_step_is_known_by(module: str) -> None:
    step = getattr(import_module(module), module.rpartition(".")[2])
    told = inspect.signature(step.entrypoint).parameters["configured"]
    assert told.default is inspect.Parameter.empty
