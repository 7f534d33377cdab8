"""Training on twenty full-size years, as plain functions in a fresh process."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accidents.data.sources.year_files import find_years
from accidents.files import ROOT
from accidents.params import load_params
from benchmarks.options import FULL_YEAR, Options, sample
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.separate_process import measure, peak_gib

TITLE = "Training at full size"
MOST_MINUTES = 10.0
MOST_GIB = 6.0
PREPARING = ("read and check",)  # not part of the target: "Preparing data" has one of its own


def run(options: Options) -> Outcome:
    """Measure once: it takes minutes."""
    years = (2021, 2022) if options.quick else tuple(range(2005, 2025))
    accidents = 3_000 if options.quick else FULL_YEAR
    call = measure("benchmarks.scale:train_at_scale", folder=str(sample(years, accidents)), years=list(years))
    phases, total = call.result["phases"], call.result["accidents"]
    minutes = sum(phase["seconds"] for phase in phases if phase["name"] not in PREPARING) / 60
    about = (
        f"{len(years)} sample years, {total:,} accidents, on two cores in a fresh process, settings of "
        "params.yaml, features of dispatch; evaluation with intervals, slices and behavioural checks. "
        "Reading the files counts in the memory, not in the time."
    )
    figures = (
        Figure(
            what=f"Training on {total:,} accidents",
            target=f"at most {MOST_MINUTES:g} min",
            figure=f"{minutes:.1f} min",
            met=minutes <= MOST_MINUTES,
        ),
        Figure(
            what="Peak memory",
            target=f"at most {MOST_GIB:g} GiB",
            figure=f"{call.peak_gib:.2f} GiB",
            met=call.peak_gib <= MOST_GIB,
        ),
    )
    rows = [(phase["name"], f"{phase['seconds']:.1f}", f"{phase['peak_gib']:.2f}") for phase in phases]
    body = "\n\n".join(
        [
            table(("phase", "seconds", "peak GiB so far"), rows),
            call.result["split"],
            f"ROC-AUC on the last year: {call.result['roc_auc']:.3f}.",
        ]
    )
    return Outcome(about=about, figures=figures, body=body)


class Phases:
    """Seconds of each named block, and the memory held at most by its end."""

    def __init__(self) -> None:
        self.done: list[dict[str, Any]] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Note seconds and peak memory of what is done inside."""
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self.done.append({"name": name, "seconds": seconds, "peak_gib": peak_gib()})
        print(f"{name}: {seconds:.1f} s, peak so far {peak_gib():.2f} GiB", file=sys.stderr, flush=True)


def train_at_scale(folder: str, years: list[int]) -> dict[str, Any]:
    """Train on all years but the last two (of two: on the first) and judge on the last."""
    from accidents.data.reading import read_years
    from accidents.evaluation.behaviour import behaviour_checks
    from accidents.evaluation.metrics import alerts_for_budget, evaluate
    from accidents.evaluation.slices import evaluate_slices
    from accidents.features import build_features
    from accidents.training.fit_bags import train
    from accidents.training.split import PARTS, split

    params, phase = load_params(ROOT / "params.yaml"), Phases()
    budget, draws, seed = params.evaluation.budget, params.evaluation.n_bootstrap, params.seed
    with phase("read and check"):
        files = find_years(Path(folder))
        tables, _ = read_years({year: files[year] for year in years})
    with phase("features"):
        rows = build_features(tables, params.stage)
        del tables
        gc.collect()
    with phase("split by time"):
        result = split(rows, params.split, seed)
        training, calibration, test = (rows[result.mask(part)].reset_index(drop=True) for part in PARTS)
        accidents = len(rows)
        del rows
    with phase("encoder, LightGBM, calibration"):
        model = train(training, calibration, params.model, params.stage, seed)
    with phase("prediction"):
        alerts = alerts_for_budget(model.predict_proba(calibration), budget)
        severe, predicted = test["severe"], model.predict_proba(test)
    with phase("evaluation"):
        judged = evaluate(severe, predicted, budget, draws, seed)
        evaluate_slices(test, severe, predicted, budget, draws, seed, alerts)
        behaviour_checks(model.predict_proba, test, alerts.threshold, seed)
    return {
        "phases": phase.done,
        "accidents": accidents,
        "split": result.description,
        "roc_auc": judged["roc_auc"].value,
    }
