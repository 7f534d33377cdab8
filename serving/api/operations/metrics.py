"""What Prometheus reads at /metrics."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import get_args

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from accidents.rollout.traffic_split import CHALLENGER, SHADOW, Role
from serving.api.processes import METRICS_FOLDER

_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_TENTHS = tuple(k / 10 for k in range(1, 11))

REQUESTS = Counter("accidents_http_requests", "HTTP requests answered", ["route", "method", "status"])
SECONDS = Histogram("accidents_http_request_seconds", "Time to answer", ["route"], buckets=_SECONDS)
PREDICTIONS = Counter(
    "accidents_predictions", "Accidents scored", ["model", "version", "stage", "band", "alert", "role"]
)
PROBABILITIES = Histogram("accidents_probability", "P(severe) of accidents scored", buckets=_TENTHS)
DEPARTMENTS = Counter("accidents_department_predictions", "Accidents scored, by département", ["department"])
LABELS = Counter("accidents_labels", "Outcomes received", ["status"])
WAITING = Gauge(
    "accidents_waiting", "Accidents that wait for the model server", ["role"], multiprocess_mode="livesum"
)
MODEL_SECONDS = Histogram(
    "accidents_model_call_seconds", "Time of a model server call", ["role"], buckets=_SECONDS
)
MODEL_ROWS = Histogram("accidents_model_call_rows", "Accidents in a model server call", buckets=_ROWS)
MODEL_ERRORS = Counter("accidents_model_errors", "Model server calls that failed", ["kind", "role"])
SHARE = Gauge(
    "accidents_rollout_share",
    "Percent of the accidents that a version beside the champion gets",
    ["role"],
    multiprocess_mode="livemax",
)
FALLBACKS = Counter("accidents_challenger_fallbacks", "Accidents of the challenger that fell to the champion")
SHADOW_SCORES = Counter("accidents_shadow_scores", "Copies of accidents, by what became of them", ["outcome"])
LOG_SECONDS = Histogram("accidents_log_commit_seconds", "Time of a commit of the log", buckets=_SECONDS)
LOG_ROWS = Histogram("accidents_log_commit_rows", "Predictions in a commit of the log", buckets=_ROWS)
LOG_ERRORS = Counter("accidents_log_errors", "Writes of predictions or labels that failed")
REFUSED_KEYS = Counter("accidents_refused_keys", "Requests with a wrong key")
HOOKS = Counter("accidents_hooks", "Notifications of Alertmanager, by what became of them", ["outcome"])
LOOPS = Counter("accidents_hook_loops", "Loops that a notification started and that have ended", ["exit"])
LOOP_RUNNING = Gauge(
    "accidents_hook_loop_running", "1 while a loop runs that this API started", multiprocess_mode="livemax"
)
# Of several processes as the one saw it that was asked last, which is the one that is asked for the metrics.
READY = Gauge(
    "accidents_ready", "1 while /health/ready says so, as of its last check", multiprocess_mode="mostrecent"
)
BUILD = Gauge("accidents_api_info", "What runs", ["version"], multiprocess_mode="livemax")


def _begin_at_zero() -> None:
    """Show each series at 0: for Prometheus, one that appears at 1 has not increased."""
    for route in ("/predict", "/predict/batch", "/labels"):
        for status in (200, 500, 503):
            REQUESTS.labels(route, "POST", status)
    for kind in ("timeout", "connection", "unavailable", "mismatch"):
        for role in get_args(Role):
            MODEL_ERRORS.labels(kind, role)
    for outcome in ("logged", "dropped", "failed"):
        SHADOW_SCORES.labels(outcome)
    for role in (CHALLENGER, SHADOW):
        SHARE.labels(role)
    for outcome in ("started", "running", "paused", "not_needed", "failed"):
        HOOKS.labels(outcome)
    for code in ("ok", "busy", "failed"):
        LOOPS.labels(code)


_begin_at_zero()


def exposition() -> bytes:
    """All of it in Prometheus' text format, of all processes of this API."""
    folder = os.environ.get(METRICS_FOLDER)
    if folder is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    registry.register(_EachProcess(Path(folder)))
    return generate_latest(registry)


class _EachProcess(Collector):
    """Memory, processor and files of each process, by its id: a sum would fall when one is started anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Of those that live."""
        families: dict[str, Metric] = {}
        for pid in sorted({file.stem.rpartition("_")[2] for file in self._folder.glob("gauge_live*.db")}):
            for family in ProcessCollector(registry=None, pid=partial(int, pid)).collect():
                kept = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    kept.add_sample(sample.name, {"pid": pid}, sample.value)
        yield from families.values()
