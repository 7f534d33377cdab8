"""What monitoring a hundred thousand predictions costs, from the log's database to Evidently's pages."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.separate_process import measure

TITLE = "Monitoring a hundred thousand predictions"
MOST_SECONDS, MOST_GIB, MOST_MB = 20.0, 2.0, 2.0


def run(options: Options) -> Outcome:
    """Fill a log in one process, then monitor it in a fresh one."""
    predictions = 3_000 if options.quick else 100_000
    with tempfile.TemporaryDirectory(prefix="monitor-") as folder:
        measure("benchmarks.monitor_scale:fill", folder=folder, predictions=predictions)
        call = measure("benchmarks.monitor_scale:monitor", folder=folder)
    result = call.result
    seconds = sum(result["seconds"].values())
    figures = (
        Figure(what=f"{predictions:,} logged predictions, half of them labelled, monitored",
               target=f"at most {MOST_SECONDS:g} s", figure=f"{seconds:.1f} s", met=seconds <= MOST_SECONDS),
        Figure(what="Peak memory of the process", target=f"at most {MOST_GIB:g} GiB",
               figure=f"{call.peak_gib:.2f} GiB", met=call.peak_gib <= MOST_GIB),
        Figure(what="Size of Evidently's drift page", target=f"at most {MOST_MB:g} MB",
               figure=f"{result['page_mb']:.1f} MB", met=result["page_mb"] <= MOST_MB),
    )  # fmt: skip
    about = (
        "The steps of the monitor pipeline on a prediction log in SQLite, in a fresh process, imports "
        "included; performance with 500 bootstrap draws. Without ZenML, the decision and its page."
    )
    rows = [(what, f"{spent:.1f}") for what, spent in result["seconds"].items()]
    return Outcome(about=about, figures=figures, body=table(("part", "seconds"), rows))


def fill(folder: str, predictions: int, address: str | None = None) -> dict[str, Any]:
    """Write a champion's bundle, and a log with predictions of the year after it."""
    import numpy as np

    from accidents.bundle import write_bundle
    from accidents.predictions.prediction_log import Label, Prediction, PredictionLog
    from benchmarks.drift_windows import WATCHED, watched, year

    champion = watched(20_000)
    facts = {
        "name": "m",
        "stage": "dispatch",
        "threshold": 0.5,
        "budget": 0.2,
        "synthetic": True,
        "years": [2021, 2022],
        "learnt_from": [f"2021-{month:02}" for month in range(1, 13)],
    }
    bundle = write_bundle(
        Path(folder) / "bundle", champion.model, facts, champion.reference, "", champion.holdout
    )
    rows = year(WATCHED + 1, 20_000).sample(predictions, replace=True, random_state=7)
    matrix = rows[bundle.features].to_numpy(np.float32)
    p, now = bundle.predict(matrix), datetime.now(UTC)
    log = PredictionLog(address or _address(folder))
    log.create()
    for start in range(0, predictions, 5_000):
        part = range(start, min(start + 5_000, predictions))
        log.write(
            [
                Prediction(
                    request_id=f"{k:032x}", accident_id=f"a{k}",
                    created=now - timedelta(seconds=predictions - k),
                    stage="dispatch", model_name="m", model_version="1", model_digest=bundle.digest,
                    probability=float(p[k]), band="low", alert=False, accident={"year": 2023, "month": 5},
                    features=dict(zip(bundle.features, map(_known, matrix[k].tolist()), strict=True)),
                )
                for k in part
            ]
        )  # fmt: skip
        severe = rows["severe"].to_numpy()
        log.add_labels([Label(bool(severe[k]), accident_id=f"a{k}") for k in part if k % 2])
    return {}


def monitor(folder: str, address: str | None = None) -> dict[str, Any]:
    """Seconds of each part, the size of the drift page, and what was looked at."""
    seconds: dict[str, float] = {}
    began = time.perf_counter()

    def done(what: str) -> None:
        nonlocal began
        seconds[what] = time.perf_counter() - began
        began = time.perf_counter()

    import pandas as pd

    from accidents.bundle import HOLDOUT, load_bundle
    from accidents.monitoring.monitor_settings import WindowSettings
    from accidents.monitoring.performance import measure_performance
    from accidents.monitoring.window import log_window, unlearnt
    from accidents.monitoring.window_drift import measure_drift
    from accidents.predictions.prediction_log import PredictionLog
    from accidents.reports.monitor import features_figure, png
    from benchmarks.drift_windows import POLICY, kinds, validator

    bundle = load_bundle(Path(folder) / "bundle")
    checker = validator()
    done("imports")
    log, now = PredictionLog(address or _address(folder)), datetime.now(UTC)
    since = now - timedelta(days=30)
    drawing = log.draw(since, None, WindowSettings().most, bundle.stage)
    done("counting the window")
    rows = log.read(since, stage=bundle.stage) if drawing.all else log.read_drawn(drawing)
    window = log_window(rows, bundle, since, now, drawing.drawn_of)
    done("reading the log, the champion's probabilities")
    reference, holdout = (pd.read_parquet(bundle.folder / name) for name in ("reference.parquet", HOLDOUT))
    drift, result = measure_drift(
        checker, window.drawn, reference, holdout, kinds(), POLICY.drift, None, judge_missing=True
    )
    done("drift, with Evidently's page")
    quality = checker.data_profiling(window.drawn, **kinds(), prediction_columns=["p_severe"])
    done("quality, with Evidently's page")
    measure_performance(unlearnt(window, bundle), holdout, POLICY.performance, 0.2, 500, 7)
    done("performance, with intervals")
    png(features_figure(drift.features))
    done("picture")
    assert quality.rows == len(window.drawn)
    looked_at = {"rows": window.facts.rows, "labelled": window.facts.labelled, "notes": window.notes}
    return {"seconds": seconds, "page_mb": len(result.html.encode()) / 1e6} | looked_at


def _address(folder: str) -> str:
    return f"sqlite:///{folder}/predictions.db"


def _known(value: float) -> float | None:
    return None if value != value else value
