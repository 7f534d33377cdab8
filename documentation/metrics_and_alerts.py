"""The reference of metrics and alerts, from what defines them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import Counter, Info
from prometheus_client.metrics import MetricWrapperBase

from documentation.tables import code, table
from observability.addresses import RULES
from observability.metric_names import MODEL_SERVER, OWN, PROCESS, PUSHED, SUPERVISOR
from serving.api.operations import metrics

ROOT = Path(__file__).resolve().parent.parent
_GAUGES = ROOT / "accidents" / "monitoring" / "gauges_and_thresholds.py"
_TOP = """# Metrics and alerts

Made from the sources when this site was built. What to do about an alert: [alerts](../alerts.md).

"""


def metrics_and_alerts_page() -> str:
    """Return alerts, recorded series, and the metrics of every process."""
    parts = ["## Alerts\n", table(("alert", "severity", "after", "when", "what it says"), _alerts())]
    parts += ["## Recorded series\n", table(("series", "is"), _recorded())]
    head = ("metric", "labels", "meaning")
    parts += ["## The API, at /metrics\n", table(("metric", "kind", "labels", "meaning"), api_metrics())]
    parts += [
        "## What the monitor pushes\n",
        "All of them have the label `model`, too.\n",
        table(head, _pushed()),
    ]
    for title, names in (
        ("The model server's supervisor", SUPERVISOR),
        ("MLServer's own that are used", MODEL_SERVER),
        ("Of every Python process that are used", PROCESS),
        ("Prometheus' own that are used", OWN),
    ):
        parts += [f"## {title}\n", "\n".join(f"- {code(name)}" for name in names) + "\n"]
    return _TOP + "\n".join(parts)


def rules(kind: str) -> list[dict[str, Any]]:
    """Return the rules of observability/rules of a kind, `alert` or `record`, in their order."""
    files = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted(RULES.glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"] if kind in rule]


def api_metrics() -> Iterator[tuple[str, str, str, str]]:
    """Give every metric of the API: its name as exposed, kind, labels, and what it means."""
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            suffix = {Counter: "_total", Info: "_info"}.get(type(metric), "")
            labels = ", ".join(code(label) for label in metric._labelnames)
            yield code(metric._name + suffix), type(metric).__name__.lower(), labels, metric._documentation


def meanings() -> dict[str, str]:
    """Return what each metric that the monitor pushes means, as its source says it."""
    calls = [
        node
        for node in ast.walk(ast.parse(_GAUGES.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    texts = [[part.value for part in call.args[:2] if isinstance(part, ast.Constant)] for call in calls]
    return {
        str(name): str(about) for name, about in (pair for pair in texts if len(pair) == 2) if name in PUSHED
    }


def _pushed() -> Iterator[tuple[str, str, str]]:
    meaning_of = meanings()
    for name, labels in PUSHED.items():
        yield code(name), ", ".join(code(label) for label in labels), meaning_of[name]


def _alerts() -> Iterator[tuple[str, ...]]:
    for rule in rules("alert"):
        name, says = rule["alert"], rule["annotations"]
        link = f"[{name}](../{says['runbook'].removeprefix('docs/')})"
        severity = rule["labels"]["severity"] + (
            ", starts the loop" if rule["labels"].get("loop") == "start" else ""
        )
        yield link, severity, str(rule.get("for", "")), code(" ".join(rule["expr"].split())), says["summary"]


def _recorded() -> Iterator[tuple[str, str]]:
    for rule in rules("record"):
        yield code(rule["record"]), code(" ".join(str(rule["expr"]).split()))
