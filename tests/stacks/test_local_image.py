"""Steps in containers of an image: what is told of one that could not say how it ended; their environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stacks.components.handed_on import handed_on
from stacks.components.image_layout import CODE
from stacks.components.local_image.containers import STEP, why_killed
from stacks.components.local_image.step_environment import hand_over
from tests.conftest import ROOT

PASSWORD = "canary-of-the-log"


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


def test_the_engine_is_told_no_secret_and_the_step_finds_it_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCIDENTS_DATABASE_URL", f"postgresql://me:{PASSWORD}@127.0.0.1/log")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
    monkeypatch.setenv("OF_NO_STEP", PASSWORD)
    told = hand_over(handed_on() | {"ZENML_STORE_API_TOKEN": PASSWORD}, tmp_path)
    assert PASSWORD not in str(told)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    here = {
        name: value.replace("/tmp", str(tmp_path)).replace(CODE, str(ROOT)) for name, value in told.items()
    }
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    started = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": os.environ["PATH"], **here}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(started.stdout)
    assert found["ACCIDENTS_DATABASE_URL"] == f"postgresql://me:{PASSWORD}@127.0.0.1/log"
    assert found["AWS_SECRET_ACCESS_KEY"] == found["ZENML_STORE_API_TOKEN"] == PASSWORD
    assert "OF_NO_STEP" not in found
    assert list(tmp_path.iterdir()) == [], "the step has deleted it"
    again = subprocess.run(
        [sys.executable, "-c", code], env=found, check=True, capture_output=True, text=True
    )
    assert json.loads(again.stdout)["AWS_SECRET_ACCESS_KEY"] == PASSWORD, "what a step starts has it, too"
