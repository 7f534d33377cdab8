"""The decisions that would have been taken: past years, month by month, as if they were only now arriving.

At the end of a month its accidents are looked at without labels. When the labels of a year come in, that year
is looked at too, as `--pipeline monitor --input YEAR` does in life. After a `retrain` a model is trained on
every year published by then; if it takes over it serves from the next month on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from accidents.errors import DataError, SettingsError
from accidents.evaluation.metrics import Estimate
from accidents.monitoring.loop_decision import decide, why_not_judged
from accidents.monitoring.measurements import (
    DriftMeasures,
    Figure,
    LoopDecision,
    Measurements,
    Past,
    PerformanceMeasures,
)
from accidents.monitoring.performance import figures, measure_performance
from accidents.monitoring.window import Window, file_window, new_years
from accidents.monitoring.window_drift import measure_drift
from accidents.progress import track
from accidents.replay.arrivals import Arrivals, Month, published_in
from accidents.replay.records import Record, Replay, Training
from accidents.replay.replayed_models import ReplayedModel, Setup, takes_over, train_replayed

FIRST = "The first model: nobody served before it."


def check_years(years: Sequence[int]) -> None:
    """Raise SettingsError unless a month is left to watch after the labels of the first year are out."""
    first, last = min(years), max(years)
    if published_in(first).next > Month(last, 12):
        raise SettingsError(
            f"A replay of {first} has nothing to watch: the first model is trained when the labels of "
            f"{first} are out, in {published_in(first)}. Name later years too, such as {first}-{first + 3}."
        )


def replay(rows: pd.DataFrame, setup: Setup) -> Replay:
    """Walk through the months of `rows`, which are as `build_features` gives them.

    Raises
    ------
    SettingsError
        If the labels of the first year come too late for any month to be watched.
    DataError
        If no year has labels in time.
    """
    years = sorted(int(year) for year in rows["year"].unique())
    check_years(years)
    arrivals = Arrivals(rows)
    walk = _Walk(arrivals, setup)
    months = list(arrivals.months())
    for month in track(months, "Replaying months"):
        walk.step(month)
    if walk.champion is None:
        raise DataError(
            "No year has labels in every month that are published before the last of the years given, so no "
            "model can be trained: name more years, or add the usagers files."
        )
    labelled = arrivals.years(Month(years[-1] + 2, 1))
    return Replay(
        source=setup.source,
        synthetic=setup.synthetic,
        stage=setup.params.stage,
        years=tuple(years),
        never_labelled=tuple(year for year in years if year not in labelled),
        limits=setup.params.monitor.performance.judged,
        records=tuple(walk.records),
        trainings=tuple(walk.trainings),
    )


class _Walk:
    """Where a replay stands: who is champion, what was decided so far, and what was predicted."""

    def __init__(self, arrivals: Arrivals, setup: Setup) -> None:
        self.arrivals, self.setup = arrivals, setup
        self.champion: ReplayedModel | None = None
        self.history: list[Past] = []
        self.records: list[Record] = []
        self.trainings: list[Training] = []
        self._given: dict[str, pd.Series] = {}  # of each month, P(severe) as it was given

    def step(self, now: Month) -> None:
        """Live through one month."""
        wanted = self.champion is None
        if self.champion is not None:
            wanted = self._watch_month(self.champion, now)
            for year in self.arrivals.coming_in(now):
                self._fill_in(year, now)
                wanted |= self._watch_year(self.champion, year, now)
        if wanted and self.arrivals.years(now):
            self._train(now)

    def _watch_month(self, champion: ReplayedModel, now: Month) -> bool:
        rows = self.arrivals.of_month(now)
        if rows.empty:
            return False
        window = self._window(champion, rows, str(now))
        self._given[str(now)] = window.frame["p_severe"]
        return self._look_at(champion, window, None, now)

    def _watch_year(self, champion: ReplayedModel, year: int, now: Month) -> bool:
        published = self.arrivals.published(now)
        window = self._window(champion, published[published["year"] == year], str(year))
        return self._look_at(champion, window, self._performance(champion, window.frame), now)

    def _window(self, champion: ReplayedModel, rows: pd.DataFrame, source: str) -> Window:
        return file_window(rows, champion.bundle, source, set_aside=0, synthetic=self.setup.synthetic)

    def _performance(self, champion: ReplayedModel, rows: pd.DataFrame) -> PerformanceMeasures | None:
        policy, evaluation = self.setup.params.monitor, self.setup.params.evaluation
        labelled = rows[rows["severe"].notna()]
        if len(labelled) < policy.min_labels or labelled["severe"].nunique() < 2:
            return None
        return measure_performance(
            labelled, champion.holdout, policy.performance, evaluation.budget, evaluation.n_bootstrap,
            self.setup.params.seed,
        )  # fmt: skip

    def _look_at(
        self, champion: ReplayedModel, window: Window, performance: PerformanceMeasures | None, now: Month
    ) -> bool:
        """Decide about a window, and write it down; whether a model is to be trained."""
        setup, policy = self.setup, self.setup.params.monitor
        # The files say as much as those that were learnt from, so what is missing can be compared with them.
        drift, _ = measure_drift(
            setup.validator, window.frame, champion.reference, champion.holdout, setup.columns, policy.drift,
            before=None, judge_missing=True, page=False, seed=setup.params.seed,
        )  # fmt: skip
        measured = Measurements(
            champion=champion.facts, window=window.facts, drift=drift, performance=performance,
            new_years=new_years(window.facts, champion.facts.years),
        )  # fmt: skip
        decision = decide(measured, self.history, policy, now.end)
        judged = not why_not_judged(measured, policy)
        self.history.append(
            Past(created=now.end, champion=champion.facts.digest, judged=judged, decision=decision)
        )
        self.records.append(_record(measured, drift, decision, now, self.trainings))
        return decision.action == "retrain"

    def _train(self, now: Month) -> None:
        """Train on everything published; the better one serves from the next month on."""
        years, number = self.arrivals.years(now), len(self.trainings) + 1
        challenger = train_replayed(self.arrivals.published(now), years, number, self.setup)
        serves, reason = True, FIRST
        if self.champion is not None:
            serves, reason = takes_over(challenger, self.champion, self.setup.params)
        self.champion = challenger if serves else self.champion
        self.trainings.append(
            Training(
                month=str(now), champion=challenger.facts.version, years=tuple(years),
                learnt_until=challenger.facts.learnt_until, rows=challenger.learnt_rows,
                split=challenger.split, roc_auc=self._figures(challenger.holdout)["roc_auc"], serves=serves,
                reason=reason,
            )
        )  # fmt: skip

    def _fill_in(self, year: int, now: Month) -> None:
        """Tell of the months of a year how good the probabilities were that were given at the time."""
        labels = self.arrivals.published(now)["severe"]
        for place, record in enumerate(self.records):
            if record.window == "month" and record.month.startswith(f"{year:04}-"):
                self.records[place] = record.model_copy(update=self._outcome(record, labels, now))

    def _outcome(self, record: Record, labels: pd.Series, now: Month) -> dict[str, object]:
        given = self._given[record.month]
        rows = pd.DataFrame({"p_severe": given, "severe": labels.reindex(given.index)}).dropna()
        figures = self._figures(rows)
        return {"labels_in": str(now), "observed": float(rows["severe"].astype(float).mean()), **figures}

    def _figures(self, rows: pd.DataFrame) -> dict[str, Figure]:
        evaluation = self.setup.params.evaluation
        measured = figures(rows, evaluation.budget, evaluation.n_bootstrap, self.setup.params.seed)
        return {name: _figure(name, measured[name]) for name in ("roc_auc", "calibration_gap")}


def _record(
    measured: Measurements,
    drift: DriftMeasures,
    decision: LoopDecision,
    now: Month,
    trainings: list[Training],
) -> Record:
    champion, window, performance = measured.champion, measured.window, measured.performance
    promised = next(training.roc_auc.value for training in trainings if training.champion == champion.version)
    figures = {figure.metric: figure for figure in performance.figures} if performance else {}
    return Record(
        month=str(now),
        window="month" if window.source == str(now) else "year",
        of=window.source,
        rows=window.rows,
        champion=champion.version,
        learnt_until=champion.learnt_until,
        action=decision.action,
        firing=decision.firing,
        active=decision.active,
        reasons=decision.reasons,
        compared=drift.compared,
        drifted=drift.drifted,
        missing=drift.missing,
        broken=drift.broken,
        mean_p=drift.mean_window,
        mean_reference=drift.mean_reference,
        expected=promised,
        labels_in=str(now) if window.labelled else None,
        observed=performance.severe / performance.accidents if performance else None,
        roc_auc=figures.get("roc_auc"),
        calibration_gap=figures.get("calibration_gap"),
    )


def _figure(name: str, estimate: Estimate) -> Figure:
    value, low, high = (
        float(number) if math.isfinite(number) else None
        for number in (estimate.value, estimate.low, estimate.high)
    )
    return Figure(metric=name, value=value, low=low, high=high)
