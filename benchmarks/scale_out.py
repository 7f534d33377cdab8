"""Past one machine: the same training by partition on Dask, on workers of this machine.

1.2 million accidents; docs/scaling.md. Twelve million: benchmarks/twelve_million.py.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from accidents.data.partition_files import TablePart, read_manifest, read_together
from accidents.files import ROOT
from accidents.params import load_params
from benchmarks.options import Options, SkippedError
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.separate_process import measure, peak_gib

TITLE = "Past one machine: Dask"
YEARS = tuple(range(2005, 2025))
MOST_OVER_LOCAL = 1.3
MOST_DRIVER_GIB = 2.0
MOST_APART = 0.15
ROUNDS = 5
LEAST_ROWS = 300_000
LEAST_SHARE = 0.6
REPORTS = ROOT / "reports" / "benchmarks"  # Dask's own, of its runs
WORKERS = {"workers": 2, "threads": 1, "memory_limit": "4GiB"}


def run(options: Options) -> Outcome:
    """Measure once: minutes."""
    if options.quick:
        return outcome(2, accidents=2_000)
    return outcome(len(YEARS), accidents=60_000)


def has_dask() -> bool:
    """Whether Dask is installed here."""
    return importlib.util.find_spec("distributed") is not None


def outcome(years: int, accidents: int) -> Outcome:
    """Measure on partitions that are written for it, of so many accidents each."""
    if not has_dask():
        raise SkippedError("it needs Dask: make dask")
    from accidents.data.sample_partitions import write_partitions

    with tempfile.TemporaryDirectory(prefix="scale-out-") as place:
        source = str(Path(place) / "sample")
        write_partitions(source, YEARS[-years:], 1, accidents=accidents)
        parts = read_manifest(source).parts
        total = sum(part.accidents for part in parts)
        local = measure("benchmarks.scale_out:train_locally", source=source)
        dask = measure(
            "benchmarks.scale_out:train_on_dask", source=source, folder=str(Path(place) / "work"),
            report=str(REPORTS / "dask_scale_out.html"),
        )  # fmt: skip
        flat = measure("benchmarks.scale_out:by_partitions", source=source, folder=str(Path(place) / "flat"))
        scored = measure(
            "benchmarks.scale_out:score_on_dask", source=source, folder=str(Path(place) / "scored"),
            model=dask.result["model"],
        ).result  # fmt: skip
    ratio = dask.result["total"] / local.result["total"]
    work = [seconds["work"] for seconds in flat.result.values()]
    apart = max(work) / min(work) - 1
    same = local.result["model_files"] == dask.result["model_files"]
    rate, whole = (total / scored[name] for name in ("scoring", "seconds"))
    figures = (
        Figure(
            what=f"{total:,} accidents prepared, trained, evaluated on Dask, 2 workers of 4 GiB",
            target="ends",
            figure=f"{dask.result['total']:.0f} s, started workers included",
            met=True,
        ),
        Figure(
            what="The same against `local`",
            target=f"at most {MOST_OVER_LOCAL:g} ×",
            figure=f"{ratio:.2f} ×",
            met=ratio <= MOST_OVER_LOCAL,
        ),
        Figure(
            what="The model's files, the same to the byte on both",
            target="yes",
            figure="yes" if same else "no",
            met=same,
        ),
        Figure(
            what="Peak memory of the process that drives it",
            target=f"at most {MOST_DRIVER_GIB:g} GiB",
            figure=f"{dask.peak_gib:.2f} GiB",
            met=dask.peak_gib <= MOST_DRIVER_GIB,
        ),
        Figure(
            what="Work a partition, the same 1 to 32 times on two workers: the most seconds over the least",
            target=f"at most {1 + MOST_APART:.2f} ×",
            figure=f"{1 + apart:.2f} ×",
            met=apart <= MOST_APART,
        ),
        Figure(
            what="Scoring by partition, no reasons, two cores: the model alone",
            target=f"at least {LEAST_ROWS:,} rows/s",
            figure=f"{rate:,.0f} rows/s",
            met=rate >= LEAST_ROWS,
        ),
        Figure(
            what="The same from Parquet of tables to Parquet of predictions",
            target=f"at least {LEAST_ROWS * LEAST_SHARE:,.0f} rows/s",
            figure=f"{whole:,.0f} rows/s",
            met=whole >= LEAST_ROWS * LEAST_SHARE,
        ),
    )
    phases = [
        (name, f"{local.result['phases'].get(name, 0):.1f}", f"{dask.result['phases'].get(name, 0):.1f}")
        for name in dask.result["phases"]
    ]
    body = "\n\n".join(
        [
            table(("phase", "local, s", "Dask, s"), phases),
            f"Peak of `local`: {local.peak_gib:.2f} GiB.",
            table(
                (
                    "times the same partition",
                    "seconds of work a partition",
                    "with waiting, a partition and worker",
                ),
                [(count, f"{two['work']:.3f}", f"{two['all']:.3f}") for count, two in flat.result.items()],
            ),
        ]
    )
    about = (
        f"{total:,} synthetic accidents in {len(parts)} partitions of checked tables (Parquet), two cores: "
        "features, split, the model with the settings of params.yaml, evaluation with intervals and slices, "
        "in one process and on a Dask cluster of two workers."
    )
    return Outcome(about=about, figures=figures, body=body)


def train_locally(source: str, every: int = 1) -> dict[str, Any]:
    """In one process, of every so many partitions: for `measure`."""
    from accidents.evaluation.behaviour import behaviour_checks
    from accidents.evaluation.metrics import alerts_for_budget, evaluate
    from accidents.evaluation.slices import evaluate_slices
    from accidents.features import build_features
    from accidents.training import fit_bags
    from accidents.training.split import PARTS, split

    params, clock = load_params(ROOT / "params.yaml"), _Clock()
    manifest = read_manifest(source)
    tables, _ = read_together(source, manifest.parts[::every])
    rows = build_features(tables.validate(), params.stage)
    clock.lap("read, features")
    del tables
    cut = split(rows, params.split, params.seed)
    learnt, later, tested = (rows[cut.mask(part)].reset_index(drop=True) for part in PARTS)
    del rows
    model = fit_bags.train(learnt, later, params.model, params.stage, params.seed)
    clock.lap("train")
    budget, draws, seed = params.evaluation.budget, params.evaluation.n_bootstrap, params.seed
    p = model.predict_proba(tested)
    alerts = alerts_for_budget(model.predict_proba(later), budget)
    evaluate(tested["severe"], p, budget, draws, seed)
    evaluate(tested["severe"], p, budget, draws, seed, alerts)
    evaluate_slices(tested, tested["severe"], p, budget, draws, seed)
    behaviour_checks(model.predict_proba, tested, alerts.threshold, seed)
    clock.lap("evaluate")
    return {**clock.measured(), "model_files": _files(model)}


def train_on_dask(source: str, folder: str, report: str) -> dict[str, Any]:
    """By partition: for `measure`. Dask's report of it goes to `report`, and its place is told."""
    import shutil
    import sys

    from engine.cluster import disconnect_all
    from engine.report import PAGE, reported

    def keep(made: Path, _: str) -> None:
        Path(report).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made / PAGE, report)
        print(f"Dask's report of the run: {report}", file=sys.stderr)

    dask, clock = _settings(folder), _Clock()
    with reported(dask, keep):
        clock.lap("start workers")
        model = _trained_on(dask, source, clock)
    kept = Path(folder) / "model"
    kept.mkdir(parents=True)
    model.save(kept)
    disconnect_all()
    return {**clock.measured(), "model_files": _files(model), "model": str(kept)}


def _trained_on(dask: Any, source: str, clock: _Clock) -> Any:
    import pandas as pd

    from accidents.training.split import PARTS
    from engine import evaluation, preparation, training
    from engine.splitting import split_rows

    params = load_params(ROOT / "params.yaml")
    manifest = read_manifest(source)
    rows = preparation.build_rows(preparation.open_tables(manifest, manifest.years, dask), params.stage)
    clock.lap("read, features")
    parts, _ = split_rows(rows, params.split)
    learnt, later, tested = (parts[part] for part in PARTS)
    model = training.train(learnt, later, params.model, params.stage, params.seed)
    clock.lap("train")
    evaluation.judge(model, later, tested, pd.DataFrame(), params.evaluation, params.seed)
    clock.lap("evaluate")
    return model


def by_partitions(source: str, folder: str) -> dict[str, dict[str, float]]:
    """Seconds a partition by how many there are, on two workers: features of the same tables.

    `work`: of a worker. `all`: that passed, times workers at work; few are seldom dealt out evenly.
    Medians, in turn, of one partition read as often as is asked: years differ by a quarter in what they cost.
    """
    from engine.cluster import client_of, disconnect_all
    from engine.tasks import each

    dask, parts = _settings(folder), read_manifest(source).parts
    client_of(dask)
    each(dask, _features, [("warm", (source, part)) for part in parts[:4]], "Warming up")
    counts = (1, 2, 4, 8, 16, 32)
    work, passed = ({count: list[float]() for count in counts} for _ in range(2))
    for _ in range(ROUNDS):
        for count in counts:
            chosen = [(f"{at}", (source, parts[-1])) for at in range(count)]
            started = time.monotonic()
            work[count] += each(dask, _features, chosen, f"{count} partitions")
            passed[count].append((time.monotonic() - started) * min(count, 2) / count)
    disconnect_all()
    return {str(count): {"work": median(work[count]), "all": median(passed[count])} for count in counts}


def score_on_dask(source: str, folder: str, model: str) -> dict[str, float]:
    """Score all partitions into others; seconds in all, and in the model alone, of two workers."""
    from accidents.bundle import write_bundle
    from accidents.features import build_features
    from accidents.training.trained_model import Model
    from engine import preparation
    from engine.cluster import client_of, disconnect_all
    from engine.scoring import score_tables

    dask, manifest = _settings(folder), read_manifest(source)
    first: tuple[TablePart, ...] = manifest.parts[-2:]
    trained = Model.load(Path(model))
    reference = build_features(read_together(source, first[:1])[0], trained.stage).head(5_000)
    facts = {"name": "benchmark", "stage": trained.stage, "threshold": 0.5}
    bundle = write_bundle(Path(folder) / "bundle", trained, facts, reference, "")
    client_of(dask)
    tables = preparation.open_tables(manifest, manifest.years, dask)
    few = tables.model_copy(update={"parts": first})
    score_tables(few, bundle, "benchmark", "1", "none", f"{folder}/warm")  # compiles
    started = time.monotonic()
    scored = score_tables(tables, bundle, "benchmark", "1", "none", f"{folder}/predictions")
    seconds = time.monotonic() - started
    disconnect_all()
    return {"seconds": seconds, "scoring": scored["seconds_scoring"] / 2}


def _features(source: str, part: TablePart) -> float:
    """Seconds that it takes."""
    from accidents.data.partition_files import read_part
    from accidents.features import build_features

    started = time.monotonic()
    build_features(read_part(source, part), "dispatch")
    return time.monotonic() - started


def _settings(folder: str) -> Any:
    from engine.settings import DaskSettings, LocalWorkers

    return DaskSettings(local=LocalWorkers.model_validate(WORKERS), folder=folder)


class _Clock:
    def __init__(self) -> None:
        self._phases: dict[str, float] = {}
        self._since = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self._phases[name], self._since = now - self._since, now

    def measured(self) -> dict[str, Any]:
        return {"phases": self._phases, "total": sum(self._phases.values()), "peak_gib": peak_gib()}


def _files(model: Any) -> dict[str, str]:
    import hashlib

    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(Path(folder).iterdir())
        }
