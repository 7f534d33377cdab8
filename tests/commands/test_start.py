"""How the command line starts: at once where nothing is to be computed, and plainly where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

HEAVY = {"zenml", "mlflow", "evidently", "pandas", "numpy", "sklearn", "sqlalchemy", "pydantic"}


def python(words: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
    )


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, run; run.cli(['--help']); print('loaded:', sorted({HEAVY} & sys.modules.keys()))"
    done = python(["-c", code])
    assert "Run this pipeline." in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded: []", done.stderr


def test_a_store_that_cannot_be_read_is_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("store: [", encoding="utf-8")
    done = python(["run.py", "status"], ZENML_CONFIG_PATH=str(tmp_path))
    assert done.returncode == 1
    assert "is not ZenML's configuration any more" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_of_a_local_stack_imports_no_zenml_and_makes_no_store(tmp_path: Path) -> None:
    """To import it and open its store takes two thirds of the time."""
    loaded = "print(code, sorted({'zenml', 'mlflow', 'pandas'} & sys.modules.keys()))"
    code = f"import sys, run; code = run.cli(['status']); {loaded}"
    done = python(["-c", code], ZENML_CONFIG_PATH=str(tmp_path / "store"))
    assert "Stack local" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
    assert not (tmp_path / "store").exists()


def test_what_a_cached_training_loads_is_free_of_scikit_learn_and_scipys_statistics() -> None:
    """The pipeline's own modules and the stack's validator: the steps that need either load it."""
    prepared = "from commands.arguments.options import prepare; prepare('local'); import pipelines.train"
    validator = "from stacks.components.evidently import validator"
    heavy = "print(sorted({'sklearn', 'scipy.stats'} & set(sys.modules)))"
    code = f"import sys; {prepared}; {validator}; {heavy}"
    done = python(["-c", code])
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
