"""Drift as a decision needs it: what is compared with what."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from accidents.monitoring.monitor_settings import DriftPolicy
from accidents.monitoring.window_drift import (
    ENOUGH_OF_A_SEASON,
    drift_measures,
    measure_drift,
    missing_before,
    of_same_months,
)
from accidents.predictions.database import PredictionDatabase
from accidents.predictions.history import History, new_loop
from tests.monitor_reports import NOW, measurements, report

POLICY = DriftPolicy()
KINDS = {"numerical_columns": ["hour"], "categorical_columns": ["light"]}


def frame(rows: int, months: range = range(1, 13), p: float = 0.3) -> pd.DataFrame:
    return pd.DataFrame(
        {"hour": np.arange(rows) % 24, "light": 1.0, "month": np.resize(months, rows), "p_severe": p}
    )


def column(name: str, **changes: Any) -> dict[str, Any]:
    usual = {"column": name, "role": "feature", "status": "compared", "method": "ks", "statistic": 0.5,
             "threshold": 0.001, "value_drifted": False,
             "missing_reference": 0.02, "missing_current": 0.02}  # fmt: skip
    return usual | changes


def measured(*columns: dict[str, Any], **options: Any) -> Any:
    found = {"reference_rows": 100, "columns": list(columns)}
    settings: dict[str, Any] = {
        "before": None,
        "judge_missing": True,
        "same_months": True,
        "means": (0.3, 0.3),
    }
    policy = options.pop("policy", POLICY)
    return drift_measures(found, policy, **settings | options)


def test_a_month_is_compared_with_the_same_month_if_there_are_enough_accidents_of_it() -> None:
    same, season = of_same_months(frame(20_000), frame(100, range(3, 4)))
    assert (set(same["month"]), season) == ({3}, True)
    everything, season = of_same_months(frame(ENOUGH_OF_A_SEASON), frame(100, range(3, 4)))
    assert (len(everything), season) == (ENOUGH_OF_A_SEASON, False)


def test_a_whole_year_is_compared_with_everything() -> None:
    same, season = of_same_months(frame(500), frame(100))
    assert (len(same), season) == (500, True)


def test_missing_values_are_judged_against_the_reference_or_an_earlier_window() -> None:
    gone = column("light", missing_current=0.5)
    assert measured(gone).missing == ("light",)
    assert measured(gone, before={"light": 0.48}).missing == ()
    assert measured(column("light"), before={"light": 0.5}).missing == ("light",), "known more often"
    assert measured(gone, judge_missing=False).missing == ()


def test_a_field_of_which_nothing_is_left_is_broken() -> None:
    found = measured(column("light", missing_current=1.0, status="missing in current"), column("hour"))
    assert (found.missing, found.broken, found.compared) == (("light",), ("light",), 2)


def test_what_is_to_be_ignored_is_not_judged() -> None:
    loud = column("light", value_drifted=True, missing_current=0.9)
    assert measured(loud).drifted == ("light",)
    quiet = measured(loud, column("hour"), policy=DriftPolicy(ignore=("light",)))
    assert (quiet.drifted, quiet.missing, quiet.compared) == ((), (), 1)


def test_predictions_stand_apart_from_features() -> None:
    found = measured(column("hour"), column("p_severe", role="prediction", value_drifted=True))
    assert (found.drifted, found.predictions_drifted, found.compared) == ((), True, 1)


def test_the_log_is_compared_with_an_earlier_window_or_with_what_that_was_if_it_was_broken() -> None:
    sound = report(measurements(drift=measured(column("light", missing_current=0.05))))
    assert missing_before(sound) == {"light": 0.05}
    broken = report(measurements(drift=measured(column("light", missing_current=1.0), before={"light": 0.4})))
    assert missing_before(broken) == {"light": 0.4}
    assert missing_before(report(measurements(drift=None))) is None
    assert missing_before(None) is None


def test_a_field_that_is_lost_day_by_day_is_found_and_then_broken(tmp_path: Path) -> None:
    """A window of thirty days, looked at every day, of which the newest days lack the field."""
    database = PredictionDatabase(f"sqlite:///{tmp_path}/predictions.db")
    database.create()
    history, found = History(database), []
    for day in range(31):
        now = NOW + timedelta(days=day)
        before = missing_before(history.report_before("dispatch", "prediction log", now - timedelta(days=30)))
        light = column("light", missing_current=day / 30)
        found.append(measured(light, before=before, judge_missing=before is not None))
        history.add_run(report(measurements(drift=found[-1]), now), judged=True, loop_id=new_loop())
    database.close()
    assert [one.missing for one in found] == [()] * 3 + [("light",)] * 28
    assert [one.broken for one in found] == [()] * 30 + [("light",)]
    assert found[-1].features[0].missing_reference == 0, "and not what has crept up since"


class Remembering:
    """A validator that finds nothing and keeps what it was asked."""

    def data_validation(self, dataset: pd.DataFrame, comparison_dataset: pd.DataFrame, **asked: Any) -> Any:
        self.dataset, self.reference, self.asked = dataset, comparison_dataset, asked
        return self

    def to_dict(self) -> dict[str, Any]:
        return {"reference_rows": len(self.reference), "columns": [column("hour"), column("light")]}


@pytest.mark.parametrize(("holdout", "p"), [(frame(5_000, p=0.7), 0.7), (None, 0.3)])
def test_probabilities_are_compared_with_those_of_the_test_part(
    holdout: pd.DataFrame | None, p: float
) -> None:
    validator = Remembering()
    found, result = measure_drift(
        validator, frame(100, p=0.5), frame(900), holdout, KINDS, POLICY, None, True
    )
    assert result is validator
    assert set(validator.reference["p_severe"]) == {p}
    assert (found.mean_reference, found.mean_window) == pytest.approx((p, 0.5))
    assert validator.asked["prediction_columns"] == ["p_severe"]


def test_which_probabilities_are_compared_goes_by_the_seed() -> None:
    unseen = frame(5_000).assign(p_severe=np.linspace(0, 1, 5_000))

    def drawn(seed: int) -> list[float]:
        validator = Remembering()
        measure_drift(validator, frame(100), frame(900), unseen, KINDS, POLICY, None, True, seed=seed)
        return sorted(validator.reference["p_severe"])

    assert drawn(1) == drawn(1) != drawn(2)


def test_probabilities_are_compared_with_those_there_are_not_with_copies_of_them() -> None:
    validator = Remembering()
    unseen = frame(300).assign(p_severe=np.linspace(0, 1, 300))
    measure_drift(validator, frame(100), frame(900), unseen, KINDS, POLICY, None, True)
    compared = validator.reference["p_severe"].dropna()
    assert sorted(compared) == sorted(unseen["p_severe"])
