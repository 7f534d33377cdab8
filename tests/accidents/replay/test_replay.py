"""Past years replayed: nothing is known before its time, and everything after it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance

from accidents.data.reading import read_years
from accidents.data.sources.sample import write_sample
from accidents.errors import DataError, SettingsError
from accidents.features import build_features
from accidents.files import ROOT
from accidents.params import load_params
from accidents.replay.arrivals import Arrivals, Month, published_in
from accidents.replay.records import Record, Replay
from accidents.replay.replayed_models import Setup, takes_over, train_replayed
from accidents.replay.walk import check_years, replay
from accidents.reports.replay import write_replay
from accidents.reports.replay_picture import replay_picture
from steps.data.validate_data import kinds_of_columns

AFTERWARDS = {"labels_in", "observed", "roc_auc", "calibration_gap"}
SMALL = {
    "data.years": [2018, 2019, 2020, 2021],
    "model": {"n_estimators": 15, "bags": 1},
    "evaluation.n_bootstrap": 100,
    "monitor.min_rows": 30,
    "monitor.min_labels": 50,
}


class FakeResult:
    """What `DriftResult` tells, as far as it is asked."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def to_dict(self) -> dict[str, Any]:
        return self._found


class FakeValidator:
    """Drift by one distance with a high threshold, and much faster than Evidently; notes what it sees."""

    def __init__(self) -> None:
        self.seen: list[pd.DataFrame] = []

    def data_validation(
        self, dataset: pd.DataFrame, comparison_dataset: pd.DataFrame, page: bool, **columns: list[str]
    ) -> FakeResult:
        assert not page  # of hundreds of windows nobody looks at it, and it takes seconds each
        self.seen.append(dataset)
        names = [*columns["numerical_columns"], *columns["categorical_columns"]]
        found = [_column(dataset[name], comparison_dataset[name], "feature") for name in names]
        found.append(_column(dataset["p_severe"], comparison_dataset["p_severe"], "prediction"))
        return FakeResult({"reference_rows": len(comparison_dataset), "columns": found})


def _column(now: pd.Series, before: pd.Series, role: str) -> dict[str, Any]:
    known = now.dropna(), before.dropna()
    enough = min(map(len, known)) >= 30
    distance = float(wasserstein_distance(*known) / max(known[1].std(), 1e-9)) if enough else None
    return {
        "column": now.name,
        "role": role,
        "status": "compared" if enough else "not comparable: too few values",
        "missing_reference": float(before.isna().mean()),
        "missing_current": float(now.isna().mean()),
        "method": "wasserstein" if enough else None,
        "statistic": distance,
        "threshold": 1.0,
        "value_drifted": enough and distance is not None and distance >= 1.0,
    }


@pytest.fixture(scope="module")
def sample_rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Four years around the change of form, 100 accidents a month."""
    files = write_sample(tmp_path_factory.mktemp("sample"), [2018, 2019, 2020, 2021], 1_200)
    return build_features(read_years(files)[0], "dispatch")


@pytest.fixture(scope="module")
def found(sample_rows: pd.DataFrame) -> Replay:
    return replay(sample_rows, setup())


def setup(**changed: Any) -> Setup:
    params = load_params(ROOT / "params.yaml", SMALL | changed)
    return Setup(params, "sample", True, FakeValidator(), kinds_of_columns("dispatch"))


def decided(record: Record) -> dict[str, Any]:
    """All of a record that a decision could be taken on at the time."""
    return record.model_dump(exclude=AFTERWARDS if record.window == "month" else set())


def months(found: Replay) -> list[Record]:
    return [record for record in found.records if record.window == "month"]


def years(found: Replay) -> list[Record]:
    return [record for record in found.records if record.window == "year"]


def of_year(rows: pd.DataFrame, year: int) -> "pd.Series[bool]":
    return rows["year"] == year


def test_labels_change_nothing_before_they_are_published(sample_rows: pd.DataFrame, found: Replay) -> None:
    published = str(published_in(2020))
    assert published == "2021-11"
    later = sample_rows["year"] >= 2020
    turned = sample_rows.assign(severe=sample_rows["severe"].where(~later, 1 - sample_rows["severe"]))
    other = replay(turned, setup())
    before = [decided(one) for one in found.records if one.month < published or one.of == published]
    assert len(before) == 26 - 1 + 1  # 25 months from November 2019 on, and the year 2019
    assert before == [decided(one) for one in other.records if one.month < published or one.of == published]
    assert found.trainings[:-1] == other.trainings[:-1]
    # ... and from that month on it matters: the labels that changed are those that are looked at.
    assert years(found)[:-1] == years(other)[:-1]
    assert years(found)[-1] != years(other)[-1]
    assert "performance" in years(other)[-1].firing
    assert found.trainings[-1].roc_auc != other.trainings[-1].roc_auc
    assert [one.observed for one in months(found)[:2]] == [one.observed for one in months(other)[:2]]
    assert months(found)[2].observed != months(other)[2].observed


def test_windows_of_months_show_no_label(sample_rows: pd.DataFrame) -> None:
    tried = setup()
    replay(sample_rows, tried)
    labelled = [bool(window["severe"].notna().any()) for window in tried.validator.seen]
    assert labelled.count(True) == 2  # the years 2019 and 2020; all others are months
    assert all(len(window) == 1_200 for window, known in zip(tried.validator.seen, labelled, strict=True)
               if known)  # fmt: skip


def test_a_new_year_of_labels_retrains_in_the_month_it_is_published(found: Replay) -> None:
    assert [(one.month, one.of, one.action) for one in years(found)] == [
        ("2020-11", "2019", "retrain"),
        ("2021-11", "2020", "retrain"),
    ]
    assert all("new_year" in record.firing for record in years(found))
    assert not any(record.action == "retrain" or "new_year" in record.firing for record in months(found))
    trained = [(one.month, one.years) for one in found.trainings]
    assert trained == [
        ("2019-10", (2018,)),
        ("2020-11", (2018, 2019)),
        ("2021-11", (2018, 2019, 2020)),
    ]
    assert all(one.learnt_until == f"{max(one.years)}-12" for one in found.trainings)


def test_a_new_champion_serves_from_the_next_month_on(found: Replay) -> None:
    serving = {record.month: record.champion for record in months(found)}
    assert min(serving) == "2019-11"
    now = "1"
    for training in found.trainings[1:]:
        assert serving[training.month] == now
        now = training.champion if training.serves else now
        after = Month(*map(int, training.month.split("-"))).next
        assert serving[str(after)] == now


def test_months_are_told_afterwards_how_good_they_were(found: Replay) -> None:
    told = {record.month: record.labels_in for record in months(found)}
    assert {told[f"2020-{month:02}"] for month in range(1, 13)} == {"2021-11"}
    assert {told[month] for month in ("2019-11", "2019-12")} == {"2020-11"}
    assert {told[f"2021-{month:02}"] for month in range(1, 13)} == {None}  # not out when the replay ends
    for record in months(found):
        assert (record.roc_auc is None) == (record.labels_in is None)
        if record.roc_auc and record.calibration_gap and record.observed is not None:
            assert record.calibration_gap.value == pytest.approx(record.observed - record.mean_p, abs=1e-9)


def test_the_new_form_brings_a_feature_that_was_never_known(found: Replay) -> None:
    assert "speed_limit" in months(found)[0].missing  # 2018 did not state it, November 2019 does
    assert "missing" in months(found)[0].firing


def test_a_field_that_breaks_in_the_last_year_is_found_there(sample_rows: pd.DataFrame) -> None:
    broken = sample_rows.assign(light=sample_rows["light"].mask(of_year(sample_rows, 2021)))
    records = months(replay(broken, setup()))
    assert {record.month[:4] for record in records if "light" in record.broken} == {"2021"}
    assert sum("light" in record.broken for record in records) == 12


def test_lost_performance_is_found_when_its_labels_come_in(sample_rows: pd.DataFrame, found: Replay) -> None:
    drawn = np.random.default_rng(7).random(len(sample_rows)) < 0.4
    worse = sample_rows.assign(severe=sample_rows["severe"].mask(of_year(sample_rows, 2020) & drawn, 1))
    assert "performance" not in years(found)[-1].firing
    assert "performance" in years(replay(worse, setup()))[-1].firing


def test_the_same_years_give_the_same_replay(sample_rows: pd.DataFrame, found: Replay) -> None:
    assert replay(sample_rows, setup()) == found


def test_a_year_without_labels_is_watched_but_never_learnt_from(sample_rows: pd.DataFrame) -> None:
    gone = sample_rows.assign(severe=sample_rows["severe"].mask(of_year(sample_rows, 2019)))
    seen = replay(gone, setup())
    assert seen.never_labelled == (2019,)
    assert [one.of for one in years(seen)] == ["2020"]
    assert [one.years for one in seen.trainings] == [(2018,), (2018, 2020)]
    assert [one.labels_in for one in months(seen) if one.month < "2020"] == [None, None]


def test_half_a_year_of_labels_is_no_new_year(sample_rows: pd.DataFrame) -> None:
    gone = of_year(sample_rows, 2019) & (sample_rows["month"] > 6)
    seen = replay(sample_rows.assign(severe=sample_rows["severe"].mask(gone)), setup())
    assert [one.of for one in years(seen)] == ["2020"]


def test_years_apart_and_unknown_features_do_not_stop_it(sample_rows: pd.DataFrame) -> None:
    apart = sample_rows[sample_rows["year"].isin((2018, 2021))].assign(commune=np.float32(np.nan))
    seen = replay(apart, setup())
    assert {record.month[:4] for record in seen.records} == {"2021"}
    assert len(seen.records) == 12


def test_the_cooldown_runs_on_the_replayed_clock(sample_rows: pd.DataFrame) -> None:
    seen = years(replay(sample_rows, setup(**{"monitor.cooldown_days": 500})))
    assert [one.action for one in seen] == ["retrain", "alert"]  # 365 days apart
    assert "cooldown_days" in " ".join(seen[-1].reasons)


def test_what_cannot_be_replayed_is_refused(sample_rows: pd.DataFrame) -> None:
    with pytest.raises(SettingsError, match="2021-2024"):
        check_years([2021])
    check_years([2021, 2022])
    one = sample_rows[of_year(sample_rows, 2021)]
    with pytest.raises(SettingsError, match="nothing to watch"):
        replay(one, setup())
    with pytest.raises(DataError, match="usagers"):
        replay(sample_rows.assign(severe=np.float32(np.nan)), setup())


def test_a_worse_challenger_does_not_take_over(sample_rows: pd.DataFrame) -> None:
    tried = setup()
    arrivals = Arrivals(sample_rows)
    champion = train_replayed(arrivals.published(Month(2019, 10)), [2018], 1, tried)
    challenger = train_replayed(arrivals.published(Month(2020, 11)), [2018, 2019], 2, tried)
    bad = dataclasses.replace(challenger, test=challenger.test.assign(p_severe=0.5))
    serves, reason = takes_over(bad, champion, tried.params)
    assert not serves
    assert "The champion stays: the challenger is worse" in reason
    same = dataclasses.replace(
        challenger, test=challenger.test.assign(p_severe=champion.judged.predict_proba(challenger.test))
    )
    assert takes_over(same, champion, tried.params)[0]  # a tie: it has learnt from later months
    no_fresher = dataclasses.replace(same, facts=champion.facts)
    serves, reason = takes_over(no_fresher, champion, tried.params)
    assert not serves, "of promotion, too, a tie is enough for a fresher model only"
    assert "not known to be fresher" in reason


def test_a_replay_has_what_bundles_have(sample_rows: pd.DataFrame) -> None:
    trained = train_replayed(Arrivals(sample_rows).published(Month(2021, 11)), [2018, 2019, 2020], 1, setup())
    assert (len(trained.reference), len(trained.holdout), len(trained.test)) == (1_200, 1_200, 1_200)
    assert set(trained.reference["year"]) == {2020}, "the last twelve months that were learnt from"
    assert set(trained.holdout["year"]) == {2020}
    assert trained.facts.learnt_until == "2020-12"
    assert trained.judged is not trained.bundle.model, "a refit serves"
    assert trained.reference["p_unseen"].notna().any()


def test_without_a_refit_serves_what_was_judged(sample_rows: pd.DataFrame) -> None:
    published = Arrivals(sample_rows).published(Month(2021, 11))
    trained = train_replayed(published, [2018, 2019, 2020], 1, setup(refit=False))
    assert trained.judged is trained.bundle.model
    assert (trained.facts.learnt_until, set(trained.reference["year"])) == ("2019-12", {2019})


def _texts(picture: Any) -> str:
    axes = [text.get_text() for one in picture.axes for text in one.texts]
    return " ".join([*(text.get_text() for text in picture.texts), *axes])


def test_its_files_hold_it_all(found: Replay, tmp_path: Path) -> None:
    write_replay(tmp_path, found)
    again = Replay.model_validate_json((tmp_path / "replay.json").read_text(encoding="utf-8"))
    assert again == found
    table = pd.read_csv(tmp_path / "replay.csv")
    assert len(table) == len(found.records) == 28
    assert (tmp_path / "replay.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Synthetic data" in page
    assert all(training.month in page for training in found.trainings)


def test_the_picture_says_what_is_synthetic_and_where_the_form_changes(found: Replay) -> None:
    assert "SYNTHETIC DATA" in _texts(replay_picture(found))
    real = _texts(replay_picture(found.model_copy(update={"synthetic": False})))
    assert "SYNTHETIC" not in real
    assert "2019: new form" in real
    assert "recorded differently" not in real  # 2018 is where these years begin
