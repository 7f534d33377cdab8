"""Steps in containers of an image: what is told of one that could not say how it ended."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.components.local_image.containers import STEP, why_killed


def ended(step: str, code: int, too_large: bool = False) -> dict[str, Any]:
    """What an engine knows of a container that ended so."""
    return {"Config": {"Labels": {STEP: step}}, "State": {"ExitCode": code, "OOMKilled": too_large}}


def test_a_step_that_took_too_much_memory_is_told_with_the_limit_and_the_remedy() -> None:
    said = why_killed([ended("train_model", 137, too_large=True), ended("load_data", 0)], "4g")
    assert said is not None
    assert said.startswith("Step train_model was ended, for it took more than the 4g of memory")
    assert "`memory` of the orchestrator" in said
    assert len(said.splitlines()) == 1


def test_a_step_that_was_killed_is_told() -> None:
    said = why_killed([ended("load_data", 137)], "4g")
    assert said is not None
    assert said.startswith("Step load_data was ended from outside (exit code 137)")


@pytest.mark.parametrize("code", [0, 1])
def test_a_step_that_could_speak_is_left_to_tell_its_own_reason(code: int) -> None:
    assert why_killed([ended("load_data", code)], "4g") is None
