"""What a replay leaves behind, as JSON and as a table."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from accidents.monitoring.measurements import Action, Figure, Kind
from accidents.strict import Strict

SCHEMA = 1


class Record(Strict):
    """What was decided at the end of a month, about its accidents or about a year whose labels had come in.

    `labels_in`, `observed`, `roc_auc` and `calibration_gap` are not known before that month: of a month's
    window they are filled in afterwards, with the probabilities that were given at the time. `expected` is
    the ROC-AUC that the champion promised.
    """

    month: str
    window: Literal["month", "year"]
    of: str
    rows: int
    champion: str
    learnt_until: str
    action: Action
    firing: tuple[Kind, ...]
    active: tuple[Kind, ...]
    reasons: tuple[str, ...]
    compared: int
    drifted: tuple[str, ...]
    missing: tuple[str, ...]
    broken: tuple[str, ...]
    mean_p: float
    mean_reference: float
    expected: float | None
    labels_in: str | None = None
    observed: float | None = None
    roc_auc: Figure | None = None
    calibration_gap: Figure | None = None


class Training(Strict):
    """A model trained on the years published by the end of a month; `serves`: it became champion."""

    month: str
    champion: str
    years: tuple[int, ...]
    learnt_until: str
    rows: int
    split: str
    roc_auc: Figure
    serves: bool
    reason: str


class Replay(Strict):
    """A walk through past years. `limits`: the loss of each metric that would have counted."""

    schema_version: int = SCHEMA
    source: str
    synthetic: bool
    stage: str
    years: tuple[int, ...]
    never_labelled: tuple[int, ...]
    limits: dict[str, float]
    records: tuple[Record, ...]
    trainings: tuple[Training, ...]

    def table(self) -> pd.DataFrame:
        """One row a decision, for CSV."""
        return pd.DataFrame([_flat(record) for record in self.records])


def _flat(record: Record) -> dict[str, Any]:
    row = record.model_dump(exclude={"roc_auc", "calibration_gap"})
    lists = {name: " ".join(row[name]) for name in ("firing", "active", "drifted", "missing", "broken")}
    figures = {"roc_auc": record.roc_auc, "calibration_gap": record.calibration_gap}
    ends = {
        f"{name}_{end}": getattr(figure, end) if figure else None
        for name, figure in figures.items()
        for end in ("value", "low", "high")
    }
    return {**row, **lists, "reasons": " ".join(record.reasons), **ends}
