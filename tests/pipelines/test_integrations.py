"""A command waits for no library that only a step would need: in a process of its own, as a command is."""

import subprocess
import sys

from accidents.files import ROOT
from pipelines.integrations import LATE

SAID = """
import sys
from pathlib import Path
from stacks.environment import prepare_environment
prepare_environment(Path("."))
from pipelines.integrations import import_late
import pipelines.train
from zenml.integrations.registry import integration_registry
import_late()
integration_registry.activate_integrations()
flavors = [flavor().name for flavor in integration_registry.integrations["bentoml"].flavors()]
print("ANSWER", *flavors, *sorted({"bentoml", "lightgbm", "matplotlib", "sklearn"} & set(sys.modules)))
"""


def test_starting_a_pipeline_imports_none_of_them() -> None:
    said = subprocess.run(
        [sys.executable, "-c", SAID], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    (answer,) = [line for line in said.splitlines() if line.startswith("ANSWER")]
    assert answer.split() == ["ANSWER", "bentoml"]
    assert set(LATE) >= {"bentoml", "lightgbm", "sklearn"}
