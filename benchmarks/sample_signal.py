"""Is the sample as hard as a real year? The same model, in the same protocol, on both."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

from accidents.data.sources.year_files import find_years
from accidents.progress import track
from benchmarks.options import REAL_2018, Options, sample
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.separate_process import measure

TITLE = "The sample's strength beside a real year's"
FURTHEST = 0.02
STAGES = ("dispatch", "on_scene")
FOLDS = 5


def run(options: Options) -> Outcome:
    """Measure on real 2018, on the sample's 2018 as far as that is known, and on all of the sample's."""
    real_folder = options.must_have(2018)
    accidents = 4_000 if options.quick else REAL_2018
    folds = 2 if options.quick else FOLDS
    made = str(sample((2018,), accidents))
    figures, rows = [], []
    for stage in track(STAGES[:1] if options.quick else STAGES, "stages"):
        real = _measured(str(real_folder), stage, accidents, folds)
        alike = _measured(made, stage, accidents, folds, known=real["known"])
        whole = _measured(made, stage, accidents, folds)
        difference = statistics.mean(alike["roc_auc"]) - statistics.mean(real["roc_auc"])
        figures.append(
            Figure(
                what=f"ROC-AUC of the sample less that of real 2018, {stage}",
                target=f"less than {FURTHEST:g} apart",
                figure=f"{difference:+.4f}",
                met=abs(difference) < FURTHEST,
            )
        )
        rows += [
            (stage, "real 2018", str(len(real["known"])), _shown(real["roc_auc"])),
            (
                stage,
                "sample 2018, the same features known",
                str(len(real["known"])),
                _shown(alike["roc_auc"]),
            ),
            (stage, "sample 2018, all it has", str(len(whole["known"])), _shown(whole["roc_auc"])),
        ]
    about = (
        f"The default model on a year of {accidents:,} accidents, {folds}-fold "
        "cross-validated. What the copy of real 2018 here lacks (département, commune, manner of collision, "
        "ages ...) is removed from the sample too."
    )
    body = table(
        ("stage", "accidents of", "features known", "ROC-AUC, mean of the folds ± standard error"), rows
    )
    return Outcome(about=about, figures=tuple(figures), body=body)


def _measured(
    folder: str, stage: str, accidents: int, folds: int, known: list[str] | None = None
) -> dict[str, Any]:
    call = measure(
        "benchmarks.sample_signal:cross_validated",
        folder=folder,
        stage=stage,
        accidents=accidents,
        folds=folds,
        known=known,
    )
    result: dict[str, Any] = call.result
    return result


def _shown(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values) / math.sqrt(len(values)):.4f}"


def cross_validated(
    folder: str, stage: str, accidents: int, folds: int, known: list[str] | None = None
) -> dict[str, Any]:
    """ROC-AUC of each fold of the folder's 2018, and the features of which anything is known.

    `accidents`: at most so many, drawn at random. `known`: the features that are kept; the others are made
    missing.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    from accidents.data.reading import read_year
    from accidents.features import build_features, feature_names
    from accidents.training.fit_bags import train
    from accidents.training.model_settings import ModelSettings

    tables, _ = read_year(find_years(Path(folder))[2018])
    rows = build_features(tables, stage)
    rows = rows[rows["severe"].notna()]
    rows = rows.sample(min(accidents, len(rows)), random_state=7).reset_index(drop=True)
    names = list(feature_names(stage))
    if known is not None:
        rows[[name for name in names if name not in known]] = float("nan")
    parts = StratifiedKFold(folds, shuffle=True, random_state=7).split(rows, rows["severe"])
    areas = []
    for learn, test in parts:
        # No calibration part: calibration keeps the order of accidents, and so the ROC-AUC.
        model = train(rows.iloc[learn], rows.iloc[:0], ModelSettings(), stage, seed=7)
        held_out = rows.iloc[test]
        areas.append(float(roc_auc_score(held_out["severe"], model.predict_proba(held_out))))
    return {"roc_auc": areas, "known": [name for name in names if rows[name].notna().any()]}
