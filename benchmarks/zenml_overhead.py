"""What ZenML adds to `make train`: the command on a fresh store, less the same work as plain calls."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from accidents.errors import AccidentsError
from accidents.progress import track
from benchmarks.options import Options
from benchmarks.project_copy import copy_project
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.separate_process import clean_environment

TITLE = "What ZenML adds to a training run"
MOST_SECONDS, MOST_CACHED, MOST_REFIT = 15.0, 6.0, 1.6
SMALL = {
    "accidents_per_year: 20000": "accidents_per_year: 2000",
    "n_bootstrap: 500": "n_bootstrap: 100",
    "model: {}": "model: {n_estimators: 40}",
}
NO_REFIT = {"refit: true": "refit: false"}
WAYS = {
    "cold": "with ZenML, fresh store",
    "no_refit": "the same with `refit: false`",
    "plain": "plain function calls",
    "importing": "importing ZenML, taken off the line above",
    "cached": "with ZenML, every step but the promotion cached",
}


@dataclass(frozen=True)
class Seconds:
    """Wall time, and processor time of the process and what it started."""

    wall: float
    cpu: float


def run(options: Options) -> Outcome:
    """Run both ways in turn, each time in a new copy of the project."""
    repeats = 1 if options.quick else 3
    runs = [_pair(options.quick) for _ in track(range(repeats), "cold runs with ZenML and without")]
    wall, cpu = ({way: _median(runs, way, kind) for way in WAYS} for kind in ("wall", "cpu"))
    added = wall["cold"] - wall["plain"]
    refit = statistics.median(pair["cold"].wall / pair["no_refit"].wall for pair in runs)
    about = (
        "`python run.py --pipeline train` with the sample and the settings of params.yaml, in a new copy "
        "of the project (no ZenML store, bytecode or data), less the same steps as plain calls with "
        "Evidently, MLflow and DVC used directly, without the import of ZenML. Both must end with the same "
        "metrics. And the command without the refit of the deployed model (`refit: false`). "
        f"In turn, {repeats} time{'s' if repeats > 1 else ''} each, medians of wall time."
    )
    figures = (
        Figure(
            what="What ZenML adds to `make train`, cold",
            target=f"at most {MOST_SECONDS:g} s",
            figure=f"{added:.1f} s",
            met=added <= MOST_SECONDS,
        ),
        Figure(
            what="The same command again, every step but the promotion cached",
            target=f"at most {MOST_CACHED:g} s",
            figure=f"{wall['cached']:.1f} s",
            met=wall["cached"] <= MOST_CACHED,
        ),
        Figure(
            what="`make train`, cold, against the same without refit",
            target=f"at most {MOST_REFIT:g} times",
            figure=f"{refit:.2f} times",
            met=refit <= MOST_REFIT,
        ),
    )
    rows = [(words, f"{wall[way]:.1f}", f"{cpu[way]:.1f}") for way, words in WAYS.items()]
    rows.append(("what ZenML adds", f"{added:.1f}", f"{cpu['cold'] - cpu['plain']:.1f}"))
    body = table(("", "wall time, s", "processor time, s"), rows)
    return Outcome(about=about, figures=figures, body=body)


def _median(runs: list[dict[str, Seconds]], way: str, kind: str) -> float:
    return float(statistics.median(getattr(run[way], kind) for run in runs))


def _pair(quick: bool) -> dict[str, Seconds]:
    """Seconds of each of `WAYS`."""
    with tempfile.TemporaryDirectory() as folder:
        small = SMALL if quick else {}
        zenml, plain = (copy_project(Path(folder) / name, small) for name in ("zenml", "plain"))
        without = copy_project(Path(folder) / "no_refit", {**small, **NO_REFIT})
        train = ["run.py", "--pipeline", "train"]
        cold = _seconds(zenml, train)
        no_refit = _seconds(without, train)
        metrics = _metrics(zenml)
        _seconds(zenml, train)  # judges again, for now there is a champion: then all but one step are cached
        # The small model passes not every gate: without a champion it is judged each time.
        cached = _seconds(zenml, train, all_cached=not quick)
        whole = _seconds(plain, ["-m", "benchmarks.plain_train", "seconds.json"])
        importing = Seconds(**json.loads((plain / "seconds.json").read_text(encoding="utf-8")))
        if _metrics(plain) != metrics:
            raise AccidentsError(
                "the two ways ended with different metrics: benchmarks/plain_train.py does not do the work "
                "of pipelines/train.py any more. Bring it up to date."
            )
    alone = Seconds(whole.wall - importing.wall, whole.cpu - importing.cpu)
    return {"cold": cold, "no_refit": no_refit, "plain": alone, "importing": importing, "cached": cached}


def _seconds(folder: Path, words: list[str], all_cached: bool = False) -> Seconds:
    """How long python with these words takes in a copy; with `all_cached` all steps but one must be."""
    started, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=clean_environment(), capture_output=True, text=True
    )
    wall, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    if done.returncode:
        raise AccidentsError(f"python {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    if all_cached:
        cached = re.search(r"(\d+) of (\d+) steps cached", done.stdout)
        if cached is None or int(cached[1]) < int(cached[2]) - 1:  # who is champion is asked anew
            raise AccidentsError(f"two steps or more ran again in the third run:\n{done.stdout[-3000:]}")
    return Seconds(wall, cpu)


def _metrics(folder: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads((folder / "reports" / "metrics.json").read_text(encoding="utf-8"))
    return metrics
