"""What the monitor found, for Prometheus: a file a model always, a Pushgateway where one is configured."""

from __future__ import annotations

from datetime import datetime
from http.client import HTTPException
from pathlib import Path

from prometheus_client import push_to_gateway
from rich.markup import escape

from accidents.files import write_whole
from accidents.monitoring.gauges_and_thresholds import JOB, exposition
from accidents.monitoring.measurements import Champion, MonitorReport
from accidents.predictions.prediction_log import PredictionLogError
from commands.loop_settings import loop_settings
from commands.prediction_store import opened_store
from commands.project import ROOT, console
from steps.support import champion_and_versions

FOLDER = ROOT / "reports" / "monitor"


def push(name: str, stage: str) -> None:
    """Write and push the newest report and what became of the loops; nothing while there is no report.

    A database or a Pushgateway that does not answer is told, and nothing else: whoever calls has more to say.
    """
    settings = loop_settings()
    try:
        with opened_store() as store:
            outcomes, reports = store.history.outcomes(name), store.history.reports(stage, 1)
    except PredictionLogError as error:
        console.print(f"[yellow]No metrics for Prometheus:[/] {escape(str(error))}", highlight=False)
        return
    if not reports:
        return
    report = reports[-1]
    champion, at = _champion_now(report, name)
    exposed = exposition(report, champion, at, outcomes)
    file = metrics_file(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, exposed.text())
    if settings.pushgateway is None:
        return
    try:
        # In place of what was pushed before: a former champion's figures would stand beside the new one.
        push_to_gateway(
            str(settings.pushgateway).rstrip("/"), job=JOB, registry=exposed.registry,
            grouping_key={"model": name}, timeout=settings.push_timeout,
        )  # fmt: skip
    except (OSError, HTTPException) as error:
        console.print(
            f"[yellow]The Pushgateway {settings.pushgateway} does not take the metrics:[/] "
            f"{escape(str(error))}. They are in {file.relative_to(ROOT)}."
        )


def metrics_file(name: str) -> Path:
    """Return the file of a model's metrics: one for all would be that of the model looked at last."""
    return FOLDER / f"metrics-{name}.prom"


def _champion_now(report: MonitorReport, name: str) -> tuple[Champion, datetime | None]:
    """Who is champion now, after what the report led to, and since when."""
    version = champion_and_versions.champion(name)
    if version is None:
        return report.measurements.champion, None
    at = champion_and_versions.promoted_at(version)
    bundle = champion_and_versions.bundle_of(version)
    return Champion.of(bundle, name, str(version.number)), datetime.fromisoformat(at) if at else None
