"""What a monitor run leaves behind: page, picture, JSON, and a run of the stack's tracker."""

import shutil
from pathlib import Path
from typing import Annotated

from zenml import step
from zenml.client import Client

from accidents.monitoring.measurements import MonitorReport
from accidents.reports.monitor import write_monitor
from steps.folder import Folder
from steps.support.prediction_store import opened_store


@step(enable_cache=False)  # the history of looks grows
def report_window(
    report: MonitorReport, reports: Folder | None = None, trials: Folder | None = None
) -> Annotated[Folder, "monitor_reports"]:
    """monitor.json, report.html, history.png; beside them Evidently's pages, and those of trials."""
    folder = Folder.temporary("monitor-")
    for beside in (reports, trials):
        if beside is not None:
            shutil.copytree(beside.path, folder.path, dirs_exist_ok=True)
    with opened_store() as store:
        earlier = store.history.reports(report.measurements.champion.stage)
    write_monitor(folder.path, report, earlier)
    if Client().active_stack.experiment_tracker is not None:
        _track(report, folder.path)
    return folder


def _track(report: MonitorReport, folder: Path) -> None:
    import mlflow

    measured, decision = report.measurements, report.decision
    mlflow.set_tags(
        {
            "kind": "monitor",
            "decision": decision.action,
            "firing": ", ".join(decision.firing),
            "champion": measured.champion.version,
            "window": measured.window.source,
        }
    )
    figures = {"rows": float(measured.window.rows), "labelled": float(measured.window.labelled)}
    if measured.drift is not None:
        figures |= {"drifted_features": len(measured.drift.drifted), "mean_p": measured.drift.mean_window}
    if measured.performance is not None:
        figures |= {
            figure.metric: figure.value for figure in measured.performance.figures if figure.value is not None
        }  # fmt: skip
    mlflow.log_metrics(figures)
    mlflow.log_artifact(str(folder / "monitor.json"))
