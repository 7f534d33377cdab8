"""What Prometheus reads at /metrics."""

from __future__ import annotations

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Info, generate_latest

_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_TENTHS = tuple(k / 10 for k in range(1, 11))

REQUESTS = Counter("accidents_http_requests", "HTTP requests answered", ["route", "method", "status"])
SECONDS = Histogram("accidents_http_request_seconds", "Time to answer", ["route"], buckets=_SECONDS)
PREDICTIONS = Counter(
    "accidents_predictions", "Accidents scored", ["model", "version", "stage", "band", "alert"]
)
PROBABILITIES = Histogram("accidents_probability", "P(severe) of accidents scored", buckets=_TENTHS)
LABELS = Counter("accidents_labels", "Outcomes received", ["status"])
MODEL_SECONDS = Histogram("accidents_model_call_seconds", "Time of a model server call", buckets=_SECONDS)
MODEL_ROWS = Histogram("accidents_model_call_rows", "Accidents in a model server call", buckets=_ROWS)
MODEL_ERRORS = Counter("accidents_model_errors", "Model server calls that failed", ["kind"])
LOG_SECONDS = Histogram("accidents_log_commit_seconds", "Time of a commit of the log", buckets=_SECONDS)
LOG_ROWS = Histogram("accidents_log_commit_rows", "Predictions in a commit of the log", buckets=_ROWS)
LOG_ERRORS = Counter("accidents_log_errors", "Writes of predictions or labels that failed")
REFUSED_KEYS = Counter("accidents_refused_keys", "Requests with a wrong key")
READY = Gauge("accidents_ready", "1 while /health/ready says so, as of its last check")
BUILD = Info("accidents_api", "What runs")


def exposition() -> bytes:
    """All of it in Prometheus' text format."""
    return generate_latest(REGISTRY)
