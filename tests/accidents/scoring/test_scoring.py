"""Scoring an intake, and the files that are written about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accidents.bundle import Bundle, write_bundle
from accidents.data.sources.settings import DataSettings
from accidents.reports.prediction_files import drift_in_words, summary, write_report
from accidents.scoring import score as scoring
from accidents.scoring.batch import Intake, read_input
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings
from accidents.vocabulary.bands import DEFAULT_BANDS, band_of
from tests.accidents.frames import feature_frame

VERSION = {"name": "accident-severity-dispatch", "version": "3"}
NO_DRIFT = {"verdict": "not checked", "why": "The active stack has no data validator."}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    rows = feature_frame(3_000)
    model = train(rows[:2_000], rows[2_000:], ModelSettings(bags=2, n_estimators=30), "dispatch", 7)
    facts = {"name": "small", "stage": "dispatch", "threshold": 0.2, "budget": 0.2, "synthetic": True}
    return write_bundle(tmp_path_factory.mktemp("bundle") / "b", model, facts, rows[:500], "# card")


@pytest.fixture(scope="module")
def intake(tmp_path_factory: pytest.TempPathFactory) -> Intake:
    """300 accidents whose severity their users tell, a row that cannot be scored, and hostile text."""
    rng = np.random.default_rng(1)
    severity = rng.choice([2, 4], 301, p=[0.3, 0.7])
    frame = pd.DataFrame(
        {
            "accident_id": [f"a{k}" for k in range(301)],
            "time": "2024-03-02T18:30",
            "latitude": rng.uniform(43, 50, 301).round(4),
            "longitude": rng.uniform(-1, 6, 301).round(4),
            "department": rng.choice(["59", "2A", "75"], 301),
            "speed_limit": rng.choice(["30", "80", "fast"], 301),
            "cars": rng.integers(0, 3, 301),
            "users": [json.dumps([{"role": 1, "severity": int(one)}]) for one in severity],
            "<script>alert(1)</script>": "<b>",
        }
    )
    frame["latitude"] = frame["latitude"].where(frame["department"] != "2A", 42.0)
    frame["longitude"] = frame["longitude"].where(frame["department"] != "2A", 9.0)
    frame.loc[7, ["time", "department", "latitude", "longitude"]] = None
    path = tmp_path_factory.mktemp("input") / "calls.csv"
    frame.to_csv(path, index=False)
    return read_input(str(path), DataSettings())


def predict(bundle: Bundle, intake: Intake, explained: scoring.Explained) -> pd.DataFrame:
    features = scoring.input_features(intake, bundle.stage)
    return scoring.score(bundle, features, intake.rows, VERSION["name"], VERSION["version"], explained)


def test_predictions_are_those_of_the_bundle_with_band_and_alert(bundle: Bundle, intake: Intake) -> None:
    found = predict(bundle, intake, "none")
    features = scoring.input_features(intake, "dispatch")
    expected = bundle.predict(features[bundle.features].to_numpy(np.float32))
    np.testing.assert_array_equal(found["probability"], expected)
    np.testing.assert_array_equal(found["alert"], expected >= bundle.threshold)
    assert found["band"].tolist() == [band_of(p, DEFAULT_BANDS) for p in expected]
    assert found["row"].tolist() == [row for row in range(1, 302) if row != 8]
    assert set(found["model_version"]) == {"3"}
    assert (found["reasons"] == "").all()


def test_reasons_are_given_to_all_to_alerts_or_to_none(bundle: Bundle, intake: Intake) -> None:
    everyone, alerts = predict(bundle, intake, "all"), predict(bundle, intake, "alerts")
    assert everyone["reasons"].str.count(r"\([+-]\d\.\d\d\)").between(1, scoring.REASONS).all()
    np.testing.assert_array_equal(alerts["reasons"] != "", alerts["alert"])
    told = alerts["alert"]
    assert 0 < told.sum() < len(told)
    assert alerts.loc[told, "reasons"].tolist() == everyone.loc[told, "reasons"].tolist()


def test_many_rows_give_the_probabilities_of_few_to_the_last_bit(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = feature_frame(1_000, seed=5)[bundle.features].to_numpy(np.float32)
    monkeypatch.setattr(scoring, "_MANY", 1)
    np.testing.assert_array_equal(
        scoring.probabilities(bundle.model, matrix), bundle.model.predict_matrix(matrix)
    )


def test_trees_too_large_for_fast_scoring_are_scored_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = feature_frame(3_000)
    settings = ModelSettings(bags=1, n_estimators=5, num_leaves=100, min_child_samples=5)
    model = train(rows[:2_000], rows[2_000:], settings, "dispatch", 7)
    matrix = rows[list(model.features)].to_numpy(np.float32)
    monkeypatch.setattr(scoring, "_MANY", 1)
    np.testing.assert_array_equal(scoring.probabilities(model, matrix), model.predict_matrix(matrix))


def test_the_report_counts_every_row_and_escapes_what_the_input_says(
    bundle: Bundle, intake: Intake, tmp_path: Path
) -> None:
    predictions = predict(bundle, intake, "alerts")
    severe = scoring.input_features(intake, "dispatch")["severe"].to_numpy()
    figures = summary(intake, predictions, severe, bundle, NO_DRIFT, VERSION, n_bootstrap=100)
    assert (figures["rows"], figures["scored"], figures["set_aside"]) == (301, 300, 1)
    assert sum(one["accidents"] for one in figures["bands"]) == 300
    assert [one["band"] for one in figures["bands"]] == list(DEFAULT_BANDS)
    assert sum(one["alerts"] for one in figures["departments"]) == predictions["alert"].sum()
    assert {one["name"] for one in figures["departments"]} == {"Nord", "Corse-du-Sud", "Paris"}
    assert figures["outcome"]["severe"] == severe.sum()
    assert figures["mean_probability"] == pytest.approx(predictions["probability"].mean())
    reference = feature_frame(3_000)[:500][bundle.features].to_numpy(np.float32)
    assert figures["reference_probability"] == pytest.approx(bundle.predict(reference).mean())
    assert figures["blanked"]["speed_limit"] == (predictions["notes"].str.contains("'fast'")).sum()
    write_report(tmp_path, figures, intake, predictions)
    page = (tmp_path / "report.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "Synthetic data" in page
    assert "As it turned out" in page
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "predictions.parquet"), predictions)
    assert len(pd.read_csv(tmp_path / "predictions.csv")) == 300
    assert pd.read_csv(tmp_path / "set_aside.csv")["row"].tolist() == [8]
    assert json.loads((tmp_path / "summary.json").read_text()) == figures
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_an_input_of_which_nothing_can_be_scored_still_gets_its_report(
    bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,department\n,75\n2024-03-02T18:30,\n")
    intake = read_input(str(path), DataSettings())
    predictions = predict(bundle, intake, "all")
    figures = summary(intake, predictions, np.zeros(0, np.float32), bundle, NO_DRIFT, VERSION, 100)
    write_report(tmp_path, figures, intake, predictions)
    assert (figures["scored"], figures["set_aside"], figures["outcome"]) == (0, 2, None)
    assert "no place: neither" in (tmp_path / "report.html").read_text()


def test_drift_is_told_in_words() -> None:
    assert "no data validator" in drift_in_words(NO_DRIFT)
    few = {"verdict": "not comparable", "compared": 0, "share_drifted": 0.0, "drifted_columns": []}
    assert "Too few rows" in drift_in_words(few)
    moved = {"verdict": "drifted", "compared": 4, "share_drifted": 0.5, "drifted_columns": ["light", "cars"]}
    assert "50% of 4 features" in drift_in_words(moved)
    assert "light, cars" in drift_in_words(moved)
