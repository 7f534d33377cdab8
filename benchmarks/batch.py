"""How fast a year of accidents is scored in bulk: the whole command, and scoring alone."""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.options import FULL_YEAR, Options
from benchmarks.project_copy import copy_project
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.separate_process import measure
from benchmarks.served_project import SMALL, Project

TITLE = "Scoring a year in bulk"
MOST_SECONDS = {"none": 12.0, "all": 24.0}  # by which accidents get reasons
MOST_OVER_PLAIN = 6.0
LEAST_ROWS = 100_000.0
YEAR = "2023"


def run(options: Options) -> Outcome:
    """Train once, then score a full-size year it has not seen; the year's files are there beforehand."""
    accidents, rounds = (3_000, 1) if options.quick else (FULL_YEAR, 3)
    with tempfile.TemporaryDirectory(prefix="batch-") as place:
        folder = copy_project(Path(place) / "project", SMALL if options.quick else None)
        project = Project(folder)
        project.run("--pipeline", "train")
        project.run("promote", "1")
        text = (folder / "params.yaml").read_text(encoding="utf-8")
        big = re.sub(r"accidents_per_year: \d+", f"accidents_per_year: {accidents}", text)
        (folder / "big.yaml").write_text(big, encoding="utf-8")
        _seconds(project, "none")  # makes the year, and compiles
        _seconds(project, "all")  # compiles what explains
        bundle = next((folder / ".zenml/artifacts/build_bundle/bundle").glob("*/*/files"))
        year = str(folder / "data" / "sources" / "sample" / YEAR)
        pairs = [_pair(project, str(bundle), year) for _ in range(rounds)]
        whole, plain = (
            {reasons: statistics.median(pair[way][reasons] for pair in pairs) for reasons in MOST_SECONDS}
            for way in ("whole", "plain")
        )
        alone = measure("benchmarks.batch:score_alone", bundle=str(bundle), rows=accidents).result
    figures = (
        _figure(
            f"A year of {accidents:,} accidents read, validated, drift-checked and scored",
            whole["none"],
            MOST_SECONDS["none"],
        ),
        _figure("The same with reasons for every accident", whole["all"], MOST_SECONDS["all"]),
        _figure(
            "What it takes more than the same work as plain calls",
            whole["none"] - plain["none"],
            MOST_OVER_PLAIN,
        ),
        Figure(
            what="Scoring alone, one core",
            target=f"at least {LEAST_ROWS:,.0f} rows/s",
            figure=f"{alone['fast']:,.0f} rows/s",
            met=alone["fast"] >= LEAST_ROWS,
        ),
    )
    about = (
        f"`python run.py --pipeline inference --input {YEAR} --reasons none` on a sample year, from start of "
        "Python to the report; in turn with the same steps as plain calls in a fresh process, without the "
        f"import of ZenML. Medians of {rounds}. Scoring alone, on one core: from features to calibrated "
        "probabilities, with place encoding and reading the trees."
    )
    commands = table(
        ("", "command, s", "plain calls, s", "ratio"),
        [(words, f"{whole[reasons]:.1f}", f"{plain[reasons]:.1f}", f"{whole[reasons] / plain[reasons]:.1f}")
         for reasons, words in {"none": "no reasons", "all": "reasons for all"}.items()],
    )  # fmt: skip
    rows = [
        ("bit masks in numba (ours)", f"{alone['fast']:,.0f}", f"{alone['fast'] / alone['lightgbm']:.1f}"),
        ("LightGBM's library", f"{alone['lightgbm']:,.0f}", "1"),
    ]
    body = commands + "\n\n" + table(("scoring alone", "rows/s", "ratio"), rows)
    body += f"\n\nLargest difference between the two: {alone['difference']:g}."
    return Outcome(about=about, figures=figures, body=body)


def _figure(what: str, seconds: float, most: float) -> Figure:
    return Figure(what=what, target=f"at most {most:g} s", figure=f"{seconds:.1f} s", met=seconds <= most)


def _pair(project: Project, bundle: str, year: str) -> dict[str, dict[str, float]]:
    """Seconds of the command and of the same work as plain calls, by which accidents get reasons."""
    seconds: dict[str, dict[str, float]] = {"whole": {}, "plain": {}}
    for reasons in MOST_SECONDS:
        seconds["whole"][reasons] = _seconds(project, reasons)
        work = measure(
            "benchmarks.plain_inference:score_year", bundle=bundle, given=year, reasons=reasons
        ).result
        seconds["plain"][reasons] = work["work"]
    return seconds


def _seconds(project: Project, reasons: str) -> float:
    started = time.perf_counter()
    project.run("--pipeline", "inference", "--input", YEAR, "--params", "big.yaml", "--reasons", reasons)
    return time.perf_counter() - started


def score_alone(bundle: str, rows: int) -> dict[str, Any]:
    """Rows per second of both ways, on one core, on rows of the bundle's reference repeated."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    os.environ["OMP_NUM_THREADS"] = "1"
    import numpy as np
    import pandas as pd

    from accidents.bundle import load_bundle
    from accidents.scoring.score import probabilities

    loaded = load_bundle(Path(bundle))
    reference = pd.read_parquet(loaded.folder / "reference.parquet")[loaded.features].to_numpy(np.float32)
    matrix = np.resize(reference, (max(rows, 20_000), reference.shape[1]))
    fast = probabilities(loaded.model, matrix)  # compiles
    speeds = {}
    for name, way in {
        "fast": lambda: probabilities(loaded.model, matrix),
        "lightgbm": lambda: loaded.predict(matrix),
    }.items():
        passes = []
        for _ in range(3):
            started = time.perf_counter()
            way()
            passes.append(len(matrix) / (time.perf_counter() - started))
        speeds[name] = statistics.median(passes)
    return {**speeds, "difference": float(np.abs(fast - loaded.predict(matrix)).max())}
