"""The model: files, single-row path, serving without the training libraries, direction of risk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from accidents.errors import BundleError, DataError
from accidents.evaluation.metrics import evaluate
from accidents.features import feature_names
from accidents.lightgbm.booster import Booster
from accidents.training import tuning
from accidents.training.baselines import fit_baselines
from accidents.training.calibration import BetaCalibration
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings
from accidents.training.place_encoder import AREAS, PLACE, PlaceEncoder, blur, fine_cell, fine_cells
from accidents.training.trained_model import Model
from accidents.training.tuning import tune
from tests.accidents.frames import feature_frame, risk

SMALL = ModelSettings(bags=2, n_estimators=30)
NAMES = list(feature_names("dispatch"))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return feature_frame(4_000)


@pytest.fixture(scope="module")
def model(rows: pd.DataFrame) -> Model:
    return train(rows[:2_500], rows[2_500:3_000], SMALL, "dispatch", 7)


def matrix(rows: pd.DataFrame) -> np.ndarray:
    return rows[NAMES].to_numpy(np.float32)


def test_it_learns(model: Model, rows: pd.DataFrame):
    later = rows[3_000:]
    assert roc_auc_score(later["severe"], model.predict_proba(later)) > 0.7


def test_the_same_training_gives_the_same_bytes_and_loading_the_same_numbers(model, rows, tmp_path: Path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, each in zip(
        folders, (model, train(rows[:2_500], rows[2_500:3_000], SMALL, "dispatch", 7)), strict=True
    ):
        folder.mkdir()
        each.save(folder)
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]
    np.testing.assert_array_equal(Model.load(folders[0]).predict_proba(rows), model.predict_proba(rows))


def test_one_row_and_many_rows_agree_to_the_last_bit(model: Model, rows: pd.DataFrame):
    x = matrix(rows[3_000:3_300])
    x[::7, [NAMES.index(name) for name in PLACE]] = np.nan
    one = np.concatenate([model.predict_matrix(x[k : k + 1]) for k in range(len(x))])
    np.testing.assert_array_equal(one, model.predict_matrix(x))


def test_explaining_gives_the_probability_too(model: Model, rows: pd.DataFrame):
    x = matrix(rows[:50])
    probabilities, contributions = model.explain(x)
    np.testing.assert_allclose(probabilities, model.predict_matrix(x), rtol=1e-12)
    np.testing.assert_array_equal(contributions, model.contributions(x))


def test_contributions_add_up_to_the_score(model: Model, rows: pd.DataFrame):
    x = matrix(rows[:50])
    contributions = model.contributions(x)
    assert contributions.shape == (50, len(model.columns) + 1) == (50, model.inputs(x).shape[1] + 1)
    score = 1 / (1 + np.exp(-contributions.sum(axis=1)))
    np.testing.assert_allclose(model.calibration.apply(score), model.predict_matrix(x), atol=1e-9)


def test_loading_and_predicting_need_no_training_library(model: Model, rows: pd.DataFrame, tmp_path: Path):
    model.save(tmp_path)
    np.save(tmp_path / "x.npy", matrix(rows[:20]))
    script = """
import sys
for name in ("pandas", "sklearn", "scipy", "pyarrow"):
    sys.modules[name] = None  # importing it raises ImportError
import numpy as np
from pathlib import Path
from accidents.features import build_one
from accidents.training.trained_model import Model
folder = Path(sys.argv[1])
model, x = Model.load(folder), np.load(folder / "x.npy")
one = np.array([list(build_one({"hour": 3, "vehicles": [{"category": 33}]}).values())], dtype=np.float32)
assert 0 < model.predict_matrix(one)[0] < 1
assert "lightgbm" not in sys.modules  # its shared library alone is used
print(*[p.hex() for p in model.predict_matrix(x).tolist()], model.contributions(x).shape)
"""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(" ".join(p.hex() for p in model.predict_matrix(matrix(rows[:20])).tolist()))


@pytest.mark.parametrize("feature", ["speed_limit", "pedestrian"])
def test_risk_never_falls_where_the_declaration_says_it_rises(model: Model, rows: pd.DataFrame, feature: str):
    low, high = rows.copy(), rows.copy()
    low[feature], high[feature] = np.float32(0), np.float32(1)
    if feature == "speed_limit":
        low[feature], high[feature] = rows[feature], rows[feature] + 20
    assert (model.predict_proba(high) >= model.predict_proba(low)).all()


def test_features_that_a_year_lacks_are_no_obstacle(rows: pd.DataFrame):
    old = rows[:2_000].assign(
        speed_limit=np.float32(np.nan), department=np.float32(np.nan), commune=np.float32(np.nan)
    )
    both = pd.concat([old, rows[2_000:3_000]])
    alone, together = (train(part, rows[:0], SMALL, "dispatch", 7) for part in (old, both))
    for each in (alone, together):
        assert np.isfinite(each.predict_proba(rows[3_000:])).all()
    moved = rows[3_000:].assign(commune=np.float32(1), department=np.float32(1))  # `alone` has never seen one
    np.testing.assert_array_equal(alone.predict_proba(moved), alone.predict_proba(rows[3_000:]))


@pytest.mark.parametrize("severe", [np.nan, 1.0])
def test_training_without_both_classes_says_so(rows: pd.DataFrame, severe: float):
    with pytest.raises(DataError, match="usagers"):
        train(rows.assign(severe=np.float32(severe)), rows, SMALL, "dispatch", 7)


def test_a_matrix_of_another_width_is_refused(model: Model):
    with pytest.raises(DataError, match="takes"):
        model.predict_matrix(np.zeros((1, 3), dtype=np.float32))


@pytest.mark.parametrize(
    "name", ["model.json", "trees.txt", "calibration.json", "count_cell.npy", "rate.npy"]
)
@pytest.mark.parametrize("content", [None, b"", b"{}", b"nonsense"])
def test_a_damaged_file_is_refused(model: Model, tmp_path: Path, name: str, content: bytes | None):
    model.save(tmp_path)
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_bytes(content)
    with pytest.raises(BundleError):
        Model.load(tmp_path)


def test_booster_refuses_what_is_no_model():
    with pytest.raises(BundleError):
        Booster("nonsense")


def test_no_rows_give_no_probabilities(model: Model, rows: pd.DataFrame):
    assert model.predict_proba(rows[:0]).shape == (0,)


places = st.tuples(
    st.one_of(st.floats(-90, 90, width=32), st.just(float("nan"))),
    st.one_of(st.floats(-180, 180, width=32), st.just(float("nan"))),
    st.sampled_from([float("nan"), 59.0, 201.0, 999.0]),
    st.sampled_from([float("nan"), 59001.0, 201001.0, 999999.0]),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            places,
            st.tuples(
                st.floats(43, 50, width=32), st.floats(-1, 6, width=32), st.just(59.0), st.just(59001.0)
            ),
        ),
        min_size=2,
        max_size=5,
    )
)
def test_encoding_one_place_and_many_agree_exactly(many: list[tuple[float, ...]]):
    encoder = encoder_of_frame()
    x = np.array(many, dtype=np.float32)
    one = np.array([encoder.transform_one(row) for row in x.tolist()], dtype=np.float32)
    np.testing.assert_array_equal(one, encoder.transform(x))
    assert [fine_cell(*row[:2]) for row in x.tolist()] == fine_cells(x[:, 0], x[:, 1]).tolist()


_ENCODERS: list[PlaceEncoder] = []


def encoder_of_frame() -> PlaceEncoder:
    if not _ENCODERS:
        frame = feature_frame(2_000)
        _ENCODERS.append(
            PlaceEncoder.fit(frame[list(PLACE)].to_numpy(np.float32), frame["severe"].to_numpy())
        )
    return _ENCODERS[0]


def test_a_severe_hamlet_is_told_from_a_mild_one_and_a_lone_accident_says_little():
    def at(latitude: float, n: int) -> np.ndarray:
        return np.tile(np.array([[latitude, 3.0, np.nan, np.nan]], dtype=np.float32), (n, 1))

    place = np.vstack([at(44, 100), at(46, 100), at(49, 1)])
    label = np.concatenate([np.ones(100), np.zeros(100), np.ones(1)]).astype(np.float32)
    finest = PlaceEncoder.fit(place, label).transform(
        np.vstack([at(44, 1), at(46, 1), at(49, 1), at(50.5, 1)])
    )
    severity = dict(zip(PlaceEncoder.columns, finest.T, strict=True))["severity_1km"]
    assert severity[0] > 0.9
    assert severity[1] < 0.1
    assert 0.5 < severity[2] < 0.65  # near the rate of all
    assert np.float32(label.mean()) == severity[3]  # nothing known nearby


def test_blur_is_a_gaussian_of_peak_one():
    grid = np.zeros((31, 31), dtype=np.float32)
    grid[15, 15] = 1
    blurred = blur(grid, 2.0)
    assert blurred[15, 15] == 1
    assert blurred[15, 17] == pytest.approx(np.exp(-0.5), rel=1e-5)
    np.testing.assert_allclose(blurred, blurred.T, rtol=1e-6)


def test_areas_do_not_overlap():
    corners = [(a.south, a.north, a.west, a.east) for a in AREAS]
    for k, (s, n, w, e) in enumerate(corners):
        assert all(n <= s2 or n2 <= s or e <= w2 or e2 <= w for s2, n2, w2, e2 in corners[k + 1 :])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_calibration_is_monotone_and_survives_json(seed: int):
    rng = np.random.default_rng(seed)
    p = rng.random(200)
    fitted = BetaCalibration.fit(p, (rng.random(200) < rng.random() * p).astype(float))
    steps = fitted.apply(np.linspace(0, 1, 101))
    assert (np.diff(steps) >= 0).all()
    assert BetaCalibration.from_dict(fitted.to_dict()) == fitted


def test_calibration_mends_an_overconfident_score():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.05, 0.95, 20_000)
    label = (rng.random(20_000) < truth).astype(float)
    extreme = 1 / (1 + (1 / truth - 1) ** 3)
    fitted = BetaCalibration.fit(extreme, label)
    assert np.abs(fitted.apply(extreme) - truth).mean() < 0.01 < np.abs(extreme - truth).mean()


def test_baselines_are_below_the_truth_and_above_chance(rows: pd.DataFrame):
    fitted = fit_baselines(rows[:2_500], rows[2_500:3_000], "dispatch", 7)
    assert set(fitted) == {"prevalence", "logistic_regression", "random_forest"}
    later = rows[3_000:]
    score = {name: roc_auc_score(later["severe"], predict(later)) for name, predict in fitted.items()}
    assert score["prevalence"] == 0.5
    assert score["logistic_regression"] > 0.65
    assert score["random_forest"] > 0.6


def test_tuning_returns_settings_and_needs_two_months(rows: pd.DataFrame):
    assert tune(rows, SMALL, "dispatch", 0, 7) is SMALL
    few = ModelSettings(bags=1, n_estimators=100)
    found = tune(rows[:800], few, "dispatch", 1, 7)
    assert found == few  # the first trial is the starting point
    with pytest.raises(DataError, match="two months"):
        tune(rows.assign(month=np.int8(3)), few, "dispatch", 1, 7)


def test_of_many_rows_a_trial_learns_from_some(rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch):
    learnt: list[int] = []

    def noted(fitting: pd.DataFrame, *rest: Any) -> Any:
        learnt.append(len(fitting))
        return train(fitting, *rest)

    monkeypatch.setattr(tuning, "train", noted)
    monkeypatch.setattr(tuning, "MOST_LEARNT", 400)
    tune(rows, ModelSettings(bags=1, n_estimators=100), "dispatch", 1, 7)
    assert 200 < learnt[0] < 400


def test_calibration_is_fitted_on_the_later_rows_and_on_no_others():
    rows = feature_frame(6_000, seed=4)
    early, later, rest = rows[:3_000], rows[3_000:4_500].copy(), rows[4_500:]
    later["severe"] = np.float32(1) * (np.random.default_rng(5).random(len(later)) < 0.3 * risk(later))
    trained = train(early, later, SMALL, "dispatch", 7)
    scores = trained.booster.score(trained.inputs(matrix(later)))
    before = 1 / (1 + np.exp(-scores / trained.bags))
    fitted = BetaCalibration.fit(before, later["severe"].to_numpy(np.float64))
    np.testing.assert_allclose(trained.calibration.apply(before), fitted.apply(before), atol=1e-9)
    assert np.abs(trained.calibration.apply(before) - before).max() > 0.1, "and it does something"
    # The later rows are severe a third as often: so are, then, its probabilities, and not the training rows'.
    assert abs(trained.predict_proba(later).mean() - later["severe"].mean()) < 0.01
    assert trained.predict_proba(early).mean() < 0.5 * early["severe"].mean()
    shifted = np.random.default_rng(6).random(len(rest)) < 0.3 * risk(rest)
    assert _ece(shifted, trained.predict_proba(rest)) < 0.03
    assert _ece(shifted, 1 / (1 + np.exp(-_scores(trained, rest)))) > 0.15


def _scores(model: Model, rows: pd.DataFrame) -> np.ndarray:
    return np.asarray(model.booster.score(model.inputs(matrix(rows)))) / model.bags


def _ece(severe: np.ndarray, p: np.ndarray) -> float:
    return evaluate(severe.astype(float), p, n_bootstrap=1)["ece"].value
