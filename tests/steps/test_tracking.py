"""What MLflow keeps of a version: the code beside the model is enough to predict with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from steps.support.tracking import _code
from tests.conftest import ROOT
from tests.model_servers import forge, make_version

PREDICTS = """
import sys
from pathlib import Path
import numpy as np, pandas as pd
import accidents
from accidents.bundle import load_bundle
bundle = load_bundle(Path(sys.argv[1]))
rows = pd.read_parquet(bundle.folder / "reference.parquet")[bundle.features]
print(accidents.__file__, bundle.predict(rows.to_numpy(np.float32)).sum())
"""


def test_the_code_that_goes_with_a_model_predicts_by_itself_and_is_no_more(tmp_path: Path) -> None:
    version = make_version(tmp_path, seed=5)
    with _code() as code:
        files = [path for path in code.rglob("*") if path.is_file()]
        words = [sys.executable, "-c", PREDICTS, str(version.bundle.folder)]
        environment = os.environ | {"PYTHONPATH": str(code.parent)}
        done = subprocess.run(words, cwd=code.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    where, total = done.stdout.split()
    assert where.startswith(str(code))
    assert abs(float(total) - version.bundle.predict(version.matrix).sum()) < 1e-9
    assert len(files) * 3 < len(list((ROOT / "accidents").rglob("*.py"))), "each is sent by itself"


LOGS = """
import sys
from pathlib import Path
import mlflow
from accidents.bundle import load_bundle
from steps.support.tracking import log_model
before = list(sys.path)
mlflow.set_tracking_uri("sqlite:///mlflow.db")
kept = Path("kept").resolve().as_uri()
with mlflow.start_run(experiment_id=mlflow.create_experiment("one", artifact_location=kept)):
    log_model(load_bundle(Path(sys.argv[1])))
print(sys.path == before)
"""


LOADS = """
import sys
import mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
print(model.unwrap_python_model().bundle.digest)
"""


def test_mlflows_copy_is_no_model_where_its_files_and_their_manifest_were_edited_together(
    tmp_path: Path,
) -> None:
    version = make_version(tmp_path, seed=5)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    logged = [sys.executable, "-c", LOGS, str(version.bundle.folder)]
    subprocess.run(logged, cwd=tmp_path, env=environment, capture_output=True, check=True)
    (manifest,) = tmp_path.glob("kept/**/manifest.json")
    words = [sys.executable, "-c", LOADS, str(next(tmp_path.glob("kept/**/MLmodel")).parent)]

    def load() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    assert load().stdout == f"{version.bundle.digest}\n"
    forge(manifest.parent)
    assert "This is not the bundle that was registered" in load().stderr


def test_a_process_that_logged_a_model_still_starts_others_with_all_of_our_code(tmp_path: Path) -> None:
    version = make_version(tmp_path, seed=5)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", LOGS, str(version.bundle.folder)]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    assert any((tmp_path / "kept").rglob("MLmodel")), "it was logged"
