"""Scores on the real accidents of 2018: cross-validation, unseen regions, later months.

    python -m benchmarks.real_2018 --baac ../shared/baac

Prints a Markdown table. Every accident is predicted by a model that has not seen it.

- "mean of 5 folds" is the usual cross-validation: the four other folds train, and each fold is ranked by
  itself (in brackets: lowest and highest fold). Ranking needs no calibration and is not changed by it.
- In the other rows one in twenty of the accidents that a model may see calibrates it and the others train
  it. All predictions are judged together, which also shows the calibration error (in brackets: 95 %,
  bootstrapped over accidents).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from accidents.data.reading import read_year
from accidents.data.sources.year_files import find_years
from accidents.evaluation.metrics import evaluate
from accidents.features import STAGES, build_features
from accidents.progress import track
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings
from accidents.training.trained_model import Model

SEED, FOLDS, BUDGET = 7, 5, 0.2
METRICS = ("roc_auc", "pr_auc", "ece", "brier", "recall_at_budget")
Numbers = npt.NDArray[np.int64]


def random_folds(frame: pd.DataFrame) -> Numbers:
    """Five folds; a row is an accident, so no accident is on both sides."""
    return np.random.default_rng(SEED).permutation(len(frame)) % FOLDS


def region_folds(frame: pd.DataFrame) -> Numbers:
    """Five folds of whole squares of about 100 km; accidents without a place form one of the squares."""
    square = np.floor(frame["latitude"] / 0.9) * 1000 + np.floor(frame["longitude"] / 1.3)
    codes, squares = pd.factorize(square.fillna(-1e6), sort=True)
    return (np.random.default_rng(SEED).permutation(len(squares)) % FOLDS)[codes]


def predict_folds(frame: pd.DataFrame, fold: Numbers, stage: str, jobs: int) -> npt.NDArray[np.float64]:
    """Out-of-fold P(severe), float64 [n]."""
    predicted = np.empty(len(frame))
    for k in track(range(FOLDS), f"{stage} folds"):
        seen, held = frame[fold != k], frame[fold == k]
        predicted[fold == k] = _fit(seen, stage, jobs).predict_proba(held)
    return predicted


def rank_folds(frame: pd.DataFrame, fold: Numbers, stage: str, jobs: int) -> npt.NDArray[np.float64]:
    """ROC-AUC and PR-AUC of each fold, ranked by a model that all other folds trained; float64 [folds, 2]."""
    scores = []
    for k in track(range(FOLDS), f"{stage} folds, ranked"):
        seen, held = frame[fold != k], frame[fold == k]
        predicted = train(seen, seen, ModelSettings(n_jobs=jobs), stage, SEED).predict_proba(held)
        scores.append(
            [score(held["severe"], predicted) for score in (roc_auc_score, average_precision_score)]
        )
    return np.array(scores)


def predict_months(
    frame: pd.DataFrame, stage: str, jobs: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Train on January to September, predict October to December: which rows those are, and P(severe)."""
    late = (frame["month"] >= 10).to_numpy()
    return late, _fit(frame[~late], stage, jobs).predict_proba(frame[late])


def _fit(seen: pd.DataFrame, stage: str, jobs: int) -> Model:
    calibrates = np.random.default_rng(SEED).random(len(seen)) < 0.05
    return train(seen[~calibrates], seen[calibrates], ModelSettings(n_jobs=jobs), stage, SEED)


def _rows(baac: Path, stages: Sequence[str], jobs: int) -> Iterator[str]:
    tables, _ = read_year(find_years(baac / "2018")[2018])
    for stage in stages:
        frame = build_features(tables, stage)
        label = frame["severe"].to_numpy()
        ranked = rank_folds(frame, random_folds(frame), stage, jobs)
        yield _mean_row(stage, ranked)
        for name, fold in (("random", random_folds(frame)), ("unseen regions", region_folds(frame))):
            if name == "random" or stage == "dispatch":
                yield _row(stage, f"5 folds, {name}", label, predict_folds(frame, fold, stage, jobs))
        late, predicted = predict_months(frame, stage, jobs)
        yield _row(stage, "October to December", label[late], predicted)


def _mean_row(stage: str, scores: npt.NDArray[np.float64]) -> str:
    ends = zip(scores.mean(axis=0), scores.min(axis=0), scores.max(axis=0), strict=True)
    cells = [f"{mean:.4f} ({low:.4f}-{high:.4f})" for mean, low, high in ends]
    return f"| {stage} | mean of 5 folds, random | " + " | ".join([*cells, "-", "-", "-"]) + " |"


def _row(
    stage: str, protocol: str, label: npt.NDArray[np.float32], predicted: npt.NDArray[np.float64]
) -> str:
    evaluation = evaluate(label, predicted, BUDGET, n_bootstrap=200, seed=SEED)
    cells = (f"{evaluation[m].value:.4f} ({evaluation[m].low:.4f}-{evaluation[m].high:.4f})" for m in METRICS)
    return f"| {stage} | {protocol} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baac", type=Path, default=Path("../shared/baac"), help="folder of real files")
    parser.add_argument("--stage", choices=STAGES, action="append", help="one stage only")
    parser.add_argument("--jobs", type=int, default=2, help="threads: one where other work runs beside")
    asked = parser.parse_args()
    print("| stage | protocol | " + " | ".join(METRICS) + " |")
    print("|---" * (len(METRICS) + 2) + "|", flush=True)
    for row in _rows(asked.baac, asked.stage or STAGES, asked.jobs):
        print(row, flush=True)


if __name__ == "__main__":
    main()
