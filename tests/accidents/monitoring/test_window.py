"""Windows of the prediction log and of files: what counts, and what is noted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from accidents.bundle import Bundle, write_bundle
from accidents.features import feature_names
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.window import Window, capped, file_window, log_window, new_years, unlearnt
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings
from tests.accidents.frames import feature_frame

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SINCE = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    frame = feature_frame(1_500, 1)
    settings = ModelSettings(bags=1, n_estimators=10, n_jobs=1)
    model = train(frame[:1_000], frame[1_000:], settings, "dispatch", 1)
    facts = {"name": "m", "stage": "dispatch", "threshold": 0.5, "synthetic": False, "years": [2022],
             "learnt_from": [f"2022-{month:02}" for month in range(1, 7)]}  # fmt: skip
    return write_bundle(tmp_path_factory.mktemp("bundle") / "b", model, facts, frame.assign(p_severe=0.5), "")


def row(number: int, bundle: Bundle, **changes: Any) -> dict[str, Any]:
    """A prediction as `PredictionLog.read` gives it; the probability is the champion's own."""
    features = feature_frame(40, 3).iloc[number % 40][list(feature_names("dispatch"))]
    matrix = features.to_numpy(np.float32)[None, :]
    usual = {
        "request_id": f"{number:032x}", "accident_id": None, "created": NOW, "stage": "dispatch",
        "model_digest": bundle.digest, "probability": float(bundle.predict(matrix)[0]),
        "accident": {"year": 2026, "month": 11}, "severe": None,
        "features": {name: None if np.isnan(value) else float(value) for name, value in features.items()},
    }  # fmt: skip
    return usual | changes


def window(rows: list[dict[str, Any]], bundle: Bundle) -> Window:
    return log_window(rows, bundle, SINCE, NOW)


def test_every_prediction_counts_once_with_the_champions_probability(bundle: Bundle) -> None:
    found = window([row(k, bundle) for k in range(30)], bundle)
    assert (len(found.frame), found.facts.rows, found.facts.labelled, found.notes) == (30, 30, 0, ())
    assert found.frame["p_severe"].to_numpy() == pytest.approx(found.frame["served"].to_numpy(), abs=1e-9)
    assert (found.facts.first_month, found.facts.last_month) == ("2026-11", "2026-11")


def test_an_empty_window_is_one(bundle: Bundle, tmp_path: Path) -> None:
    found = window([], bundle)
    assert (found.facts.rows, found.facts.last_month) == (0, None)
    found.save(tmp_path)
    assert Window.load(tmp_path).frame.empty


def test_of_several_predictions_of_an_accident_the_last_counts(bundle: Bundle) -> None:
    found = window([row(k, bundle, accident_id="A") for k in range(3)] + [row(9, bundle)], bundle)
    assert len(found.frame) == 2
    last = found.frame.set_index("accident_id").loc["A"]
    assert last["hour"] == row(2, bundle)["features"]["hour"]
    assert "2 earlier predictions of the same accidents" in found.notes[0]


def test_an_id_is_its_callers_own_and_who_asked_and_labelled_is_known(bundle: Bundle) -> None:
    rows = [
        row(0, bundle, accident_id="A", key_name="lyon", severe=True, labelled_by="lyon"),
        row(1, bundle, accident_id="A", key_name="lyon"),
        row(2, bundle, accident_id="A", key_name="lille", severe=False, labelled_by="m", label_trusted=True),
    ]  # fmt: skip
    found = window(rows, bundle).frame
    assert list(zip(found["caller"], found["giver"], found["severe"], strict=True)) == [
        ("lyon", "lyon", 1.0), ("lille", "", 0.0)
    ]  # fmt: skip


def test_a_flood_hides_no_shift_of_the_others_and_is_told(bundle: Bundle) -> None:
    """Everybody's nights have come, but one caller sends five times as many accidents at noon."""
    usual = row(0, bundle)

    def at(hour: float, **facts: Any) -> dict[str, Any]:
        return usual | {"features": usual["features"] | {"hour": hour}} | facts

    rooms = [at(23.0, request_id=f"a{k}", key_name=f"room{k % 4}", severe=True) for k in range(400)]
    flood = [at(12.0, request_id=f"b{k}", key_name="flood") for k in range(2_000)]
    whole = window([*rooms, *flood], bundle)
    assert whole.frame["hour"].mean() == pytest.approx(13.8, abs=0.1)
    found = capped(whole, MonitorSettings(min_rows=30), seed=1)
    assert found.frame["hour"].mean() == pytest.approx(20.8)
    assert (found.facts.rows, found.facts.labelled, len(found.frame)) == (500, 400, 500)
    assert found.notes[-1].startswith("Counted 100 of 2,000 predictions of flood: at most 20%")
    assert capped(whole, MonitorSettings(min_rows=30, per_caller=None), seed=1) is whole


def test_labels_that_contradict_each_other_do_not_count(bundle: Bundle) -> None:
    rows = [
        row(0, bundle, accident_id="A", severe=True), row(1, bundle, accident_id="A", severe=False),
        row(2, bundle, accident_id="B", severe=True), row(3, bundle, accident_id="B"),
        row(4, bundle, severe=False),
    ]  # fmt: skip
    found = window(rows, bundle)
    labels = found.frame.set_index("accident_id")["severe"]
    assert np.isnan(labels["A"])
    assert labels["B"] == 1
    assert found.facts.labelled == 2
    assert "1 accidents have labels that contradict each other" in " ".join(found.notes)


def test_features_that_only_one_side_knows_are_noted(bundle: Bundle) -> None:
    strange = row(0, bundle)
    strange["features"] = {k: v for k, v in strange["features"].items() if k != "hour"} | {"drones": 2.0}
    found = window([strange], bundle)
    notes = " ".join(found.notes)
    assert "does not know: drones" in notes
    assert "were not logged: hour" in notes
    assert np.isnan(found.frame["hour"][0])
    assert "drones" not in found.frame


def test_predictions_of_another_stage_are_left_out(bundle: Bundle) -> None:
    found = window([row(0, bundle), row(1, bundle, stage="on_scene")], bundle)
    assert found.facts.rows == 1
    assert "1 predictions of another stage" in found.notes[0]


def test_other_versions_answers_are_scored_anew_and_wrong_answers_of_the_champion_noted(
    bundle: Bundle,
) -> None:
    rows = [row(0, bundle, model_digest="other", probability=0.99), row(1, bundle, probability=0.99)]
    found = window(rows, bundle)
    assert (found.frame["p_severe"] < 0.98).all()
    assert "1 answers of the champion are not what its bundle gives" in found.notes[0]


def test_an_accident_without_a_date_counts_as_of_the_prediction(bundle: Bundle) -> None:
    found = window([row(0, bundle, accident={})], bundle)
    assert found.facts.last_month == "2026-11"


def year(number: int, months: range = range(1, 13)) -> pd.DataFrame:
    frame = feature_frame(1_200, number)
    frame["year"], frame["month"] = np.int16(number), np.resize(np.array(months), 1_200)
    return frame


def test_a_whole_labelled_year_later_than_those_known_is_new(bundle: Bundle) -> None:
    whole = file_window(year(2023), bundle, "2023", 0, False)
    assert new_years(whole.facts, [2021, 2022]) == (2023,)
    assert new_years(whole.facts, [2021, 2023]) == ()
    assert new_years(whole.facts, [2024]) == ()
    part = file_window(year(2023, range(1, 12)), bundle, "2023", 0, False)
    assert new_years(part.facts, [2022]) == (), "December is missing"
    unlabelled = file_window(year(2023).assign(severe=np.nan), bundle, "2023", 0, False)
    assert new_years(unlabelled.facts, [2022]) == ()
    assert unlabelled.facts.labelled == 0


def test_accidents_that_the_champion_learnt_from_do_not_judge_it(bundle: Bundle) -> None:
    found = file_window(year(2022), bundle, "2022", 0, False)
    left = unlearnt(found, bundle)
    assert set(left["month"]) == set(range(7, 13))
    assert len(unlearnt(file_window(year(2023), bundle, "2023", 0, False), bundle)) == 1_200


def test_files_survive_saving(bundle: Bundle, tmp_path: Path) -> None:
    found = file_window(year(2023), bundle, "2023", 3, True)
    found.save(tmp_path)
    again = Window.load(tmp_path)
    assert again.facts == found.facts
    pd.testing.assert_frame_equal(again.frame, found.frame)
