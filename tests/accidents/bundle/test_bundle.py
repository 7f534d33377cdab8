"""A bundle is refused unless it is exactly what was written."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accidents.bundle import Bundle, load_bundle, write_bundle
from accidents.errors import BundleError
from accidents.features import feature_names
from accidents.files import ROOT
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings
from accidents.training.trained_model import Model

FACTS = {"name": "accident-severity-dispatch", "stage": "dispatch", "threshold": 0.5}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Made-up feature rows whose label follows the speed limit."""
    rng = np.random.default_rng(7)
    names = feature_names("dispatch")
    frame = pd.DataFrame(rng.integers(0, 5, (600, len(names))).astype(np.float32), columns=list(names))
    frame["latitude"], frame["longitude"] = rng.uniform(43, 50, 600), rng.uniform(-1, 6, 600)
    frame["severe"] = (frame["speed_limit"] + rng.normal(0, 1, 600) > 2).astype(np.float32)
    return frame.assign(accident_id=np.arange(600), year=2018, month=1)


@pytest.fixture(scope="module")
def model(rows: pd.DataFrame) -> Model:
    return train(rows[:400], rows[400:], ModelSettings(n_estimators=5), "dispatch", 7)


@pytest.fixture
def bundle(tmp_path: Path, model: Model, rows: pd.DataFrame) -> Bundle:
    return write_bundle(tmp_path / "bundle", model, FACTS, rows[:50], "# Card")


def test_a_bundle_predicts_what_its_model_does(bundle: Bundle, model: Model, rows: pd.DataFrame) -> None:
    matrix = rows[bundle.features].to_numpy(np.float32)
    np.testing.assert_array_equal(bundle.predict(matrix), model.predict_proba(rows))


def test_the_same_inputs_give_the_same_bytes(
    bundle: Bundle, tmp_path: Path, model: Model, rows: pd.DataFrame
) -> None:
    again = write_bundle(tmp_path / "again", model, FACTS, rows[:50], "# Card")
    assert again.digest == bundle.digest
    other = write_bundle(tmp_path / "other", model, FACTS | {"threshold": 0.6}, rows[:50], "# Card")
    assert other.digest != bundle.digest


def test_a_refit_brings_the_model_that_was_judged(tmp_path: Path, model: Model, rows: pd.DataFrame) -> None:
    judged = train(rows[:200], rows[200:400], ModelSettings(n_estimators=5), "dispatch", 7)
    facts = FACTS | {"learnt_from": ["2018-01", "2018-02"], "judged": {"learnt_from": ["2018-01"]}}
    kept = write_bundle(tmp_path / "bundle", model, facts, rows[:50], "# Card", judged=judged)
    np.testing.assert_array_equal(kept.judged.predict_proba(rows), judged.predict_proba(rows))
    np.testing.assert_array_equal(kept.model.predict_proba(rows), model.predict_proba(rows))
    assert kept.judged_learnt_from == ["2018-01"]
    plain = write_bundle(tmp_path / "plain", model, FACTS | {"learnt_from": ["2018-01"]}, rows[:50], "# Card")
    assert plain.judged is plain.model
    assert plain.judged_learnt_from == ["2018-01"]


@pytest.mark.parametrize("name", ["model/trees.txt", "bundle.json", "reference.parquet", "model_card.md"])
def test_one_changed_byte_is_refused_by_name(bundle: Bundle, name: str) -> None:
    path = bundle.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} is altered"):
        load_bundle(bundle.folder)


def test_a_missing_and_an_added_file_are_refused_by_name(bundle: Bundle) -> None:
    (bundle.folder / "extra.txt").write_text("x")
    with pytest.raises(BundleError, match=r"extra\.txt is unknown"):
        load_bundle(bundle.folder)
    (bundle.folder / "extra.txt").unlink()
    (bundle.folder / "model" / "trees.txt").unlink()
    with pytest.raises(BundleError, match=r"trees\.txt is missing"):
        load_bundle(bundle.folder)


def test_what_is_no_bundle_is_told(tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="is no bundle"):
        load_bundle(tmp_path / "nowhere")
    (bundle.folder / "manifest.json").write_text(json.dumps({"format": 99, "files": {}}))
    with pytest.raises(BundleError, match="bundle format 99"):
        load_bundle(bundle.folder)


def test_facts_are_required(tmp_path: Path, model: Model, rows: pd.DataFrame) -> None:
    with pytest.raises(BundleError, match="threshold"):
        write_bundle(tmp_path / "bundle", model, {"name": "a", "stage": "dispatch"}, rows[:5], "")
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_a_bundle_holds_no_pickle(bundle: Bundle) -> None:
    endings = {path.suffix for path in bundle.folder.rglob("*") if path.is_file()}
    assert endings <= {".json", ".txt", ".npy", ".parquet", ".md"}


def test_loading_and_predicting_need_neither_pandas_nor_scikit_learn(bundle: Bundle) -> None:
    code = f"""
import sys
for heavy in ("pandas", "sklearn", "scipy", "zenml", "mlflow"):
    sys.modules[heavy] = None
import numpy as np
from pathlib import Path
from accidents.bundle import load_bundle
loaded = load_bundle(Path({str(bundle.folder)!r}))
print(loaded.predict(np.full((1, len(loaded.features)), np.nan, dtype=np.float32))[0])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < 1
