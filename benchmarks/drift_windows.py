"""A watched champion and windows of a year that is quiet or has changed, for measuring the verdict."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd

from accidents.data.reading import read_years
from accidents.data.sources.sample import write_sample
from accidents.data.sources.sample.drift import LOCKDOWN_MONTHS
from accidents.features import build_features, features_of
from accidents.monitoring.loop_decision import decide
from accidents.monitoring.measurements import Champion, LoopDecision, Measurements, WindowFacts
from accidents.monitoring.monitor_settings import DriftPolicy, MonitorSettings
from accidents.monitoring.performance import measure_performance
from accidents.monitoring.window_drift import measure_drift
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings
from accidents.training.refit import refit
from accidents.training.trained_model import Model

POLICY = MonitorSettings()
MONTHS, SUNNY = "months", "months without weather"  # rows of quiet windows that are of one month each
_IGNORING = DriftPolicy(ignore=(*POLICY.drift.ignore, "weather", "surface"))
POLICIES = {SUNNY: POLICY.model_copy(update={"drift": _IGNORING})}
LEARNT, WATCHED = 2021, 2022
CHAMPION = Champion(name="m", version="1", digest="d", stage="dispatch", synthetic=True,
                    learnt_until=f"{LEARNT}-12", years=(LEARNT, WATCHED))  # fmt: skip


@dataclass(frozen=True)
class Watched:
    """A deployed model, the year before its windows, what it says out of fold, and what was promised."""

    model: Model
    reference: pd.DataFrame
    unseen: pd.DataFrame
    holdout: pd.DataFrame

    def scored(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with the champion's probabilities."""
        return rows.assign(p_severe=self.model.predict_proba(rows))

    def verdict(self, window: pd.DataFrame, validator: Any, row: str = "none") -> LoopDecision:
        """Return the decision about a window of labelled accidents, on its own, without a history."""
        policy = POLICIES.get(row, POLICY)
        drift, _ = measure_drift(
            validator, window, self.reference, self.unseen, kinds(), policy.drift, None, True, page=False
        )
        performance = (
            measure_performance(window, self.holdout, policy.performance, 0.2, 100, 7)
            if len(window) >= policy.min_labels
            else None
        )
        facts = WindowFacts(source="", from_log=False, rows=len(window), labelled=len(window))
        now = Measurements(champion=CHAMPION, window=facts, drift=drift, performance=performance)
        return decide(now, [], policy, datetime.now(UTC))


def kinds() -> dict[str, list[str]]:
    """Return the features of a call by kind, as the validator takes them."""
    features = features_of("dispatch")
    return {
        "numerical_columns": [feature.name for feature in features if feature.kind == "number"],
        "categorical_columns": [feature.name for feature in features if feature.kind != "number"],
    }


@cache
def validator() -> Any:
    """Return the stack's data validator with its default settings, without a store."""
    from zenml.enums import StackComponentType

    from stacks.components.evidently.flavor import EvidentlyModernFlavor

    flavor, now = EvidentlyModernFlavor(), datetime.now(UTC)
    return flavor.implementation_class(
        name="drift", id=uuid4(), config=flavor.config_class(), flavor=flavor.name,
        type=StackComponentType.DATA_VALIDATOR, user=None, created=now, updated=now,
    )  # fmt: skip


@cache
def year(number: int, accidents: int, drift: str = "none") -> pd.DataFrame:
    """Features and labels of a sample year, with a change planted in it."""
    with tempfile.TemporaryDirectory(prefix="drift-") as folder:
        tables, _ = read_years(write_sample(Path(folder), [number], accidents, seed=7, drift=drift))
    return build_features(tables.validate(), "dispatch")


@cache
def watched(accidents: int) -> Watched:
    """Return what is deployed: learnt from 2021 and from every second accident of 2022.

    The model before it, of 2021 alone, promised on that half of 2022.
    """
    learnt, promised = year(LEARNT, accidents), year(WATCHED, accidents).iloc[::2]
    early = learnt["month"] <= 10
    settings = ModelSettings(bags=1, n_jobs=1)
    judged = train(learnt[early], learnt[~early], settings, "dispatch", 7)
    deployed = refit(pd.concat([learnt, promised]), settings, "dispatch", 7)
    holdout = promised.assign(p_severe=judged.predict_proba(promised))
    unseen = promised.assign(p_severe=deployed.unseen[len(learnt) :]).dropna(subset="p_severe")
    return Watched(
        deployed.model,
        learnt.sample(min(20_000, len(learnt)), random_state=7),
        unseen,
        holdout.sample(min(10_000, len(holdout)), random_state=7),
    )


def pool(row: str, accidents: int) -> pd.DataFrame:
    """Accidents of 2022 that windows are drawn from: the half that is not in the holdout.

    Of a lockdown all accidents of its months: half of them are gone, and those left are numbered anew, so
    some were in the holdout of the quiet year.
    """
    if row == "lockdown":
        rows = year(WATCHED, accidents, row)
        rows = rows[rows["month"].isin(LOCKDOWN_MONTHS)]
    else:
        rows = year(WATCHED, accidents, "none" if row in (MONTHS, SUNNY) else row).iloc[1::2]
    return watched(accidents).scored(rows).reset_index(drop=True)


def draw_window(rows: pd.DataFrame, row: str, size: int, seed: int) -> pd.DataFrame:
    """Return a window of at most so many accidents; of one month if the row says so, one after the other."""
    if row in (MONTHS, SUNNY):
        rows = rows[rows["month"] == seed % 12 + 1]
    return rows.sample(min(size, len(rows)), random_state=seed).reset_index(drop=True)
