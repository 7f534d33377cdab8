"""The judgement of a model on Dask: scored by partition, each figure with its draws on a worker.

All figures are those of `steps/evaluation/evaluate_model.py`, to the last bit: they come from labels and
scores. An interval takes some 170 bytes an accident: a worker of 4 GiB holds 20 million of a test part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd

from accidents.data.storage import join, read_frame, remove, write_frame
from accidents.evaluation.behaviour import checked_rows, run_checks
from accidents.evaluation.metrics import Alerts, Evaluation, EvaluationSettings, alerts_for_budget, evaluate
from accidents.evaluation.results import Results
from accidents.evaluation.slices import SLICES, SliceResult, evaluate_slice
from accidents.training.trained_model import Model
from engine.partitions import PartitionedRows, Piece
from engine.reading import keys_of, predicted, rows_at
from engine.tasks import each


def judge(
    model: Model,
    calibration: PartitionedRows,
    test: PartitionedRows,
    baselines: pd.DataFrame,
    settings: EvaluationSettings,
    seed: int,
) -> tuple[pd.DataFrame, Results]:
    """Return the predictions of the test rows beside the baselines', and what was measured."""
    alerts = alerts_for_budget(predicted(model, calibration), settings.budget)
    keys = keys_of(test)
    predictions = keys[["accident_id", "severe"]].assign(model=predicted(model, test))
    scores = pd.concat([predictions, baselines], axis=1)
    names = [str(name) for name in baselines.columns]
    file = join(test.address, f"scores-{uuid4().hex}.parquet")
    write_frame(file, scores)
    try:
        measured = _measured(file, test, names, settings, alerts, seed)
    finally:
        remove(file)
    rows, rng = checked_rows(len(test), seed)
    checked = run_checks(model.predict_proba, rows_at(test.pieces, rows), alerts.threshold, rng)
    return scores, Results(alerts=alerts, behaviour=checked, **measured)


def _measured(
    file: str,
    test: PartitionedRows,
    baselines: Sequence[str],
    settings: EvaluationSettings,
    alerts: Alerts,
    seed: int,
) -> dict[str, Any]:
    whole: list[tuple[str, tuple[Any, ...]]] = [
        *((name, (file, name, settings, seed, None)) for name in ("model", *baselines)),
        ("the threshold", (file, "model", settings, seed, alerts)),
    ]
    *each_model, at_threshold = each(test.dask, _evaluate_one, whole, "Evaluating", saves_memory="")
    reached = alerts_for_budget(read_frame(file, ["model"])["model"], settings.budget)
    cuts = [(part.title, (file, test.pieces, at, settings, seed, reached)) for at, part in enumerate(SLICES)]
    groups = each(test.dask, _evaluate_slice, cuts, "Slices", saves_memory="")
    model, *others = each_model
    return {
        "model": model,
        "at_threshold": at_threshold,
        "baselines": dict(zip(baselines, others, strict=True)),
        "slices": tuple(result for results in groups for result in results),
    }


def _evaluate_one(
    file: str, name: str, settings: EvaluationSettings, seed: int, alerts: Alerts | None
) -> Evaluation:
    scores = read_frame(file, ["severe", name])
    return evaluate(scores["severe"], scores[name], settings.budget, settings.n_bootstrap, seed, alerts)


def _evaluate_slice(
    file: str,
    pieces: tuple[Piece, ...],
    at: int,
    settings: EvaluationSettings,
    seed: int,
    reached: Alerts,
) -> list[SliceResult]:
    definition = SLICES[at]
    frame = pd.concat([piece.read(definition.columns) for piece in pieces], ignore_index=True)
    scores = read_frame(file, ["severe", "model"])
    labels, given = (np.asarray(scores[name], dtype=float) for name in ("severe", "model"))
    return evaluate_slice(
        definition, frame, labels, given, settings.budget, settings.n_bootstrap, seed, reached
    )
