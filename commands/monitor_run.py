"""One run of the monitor pipeline: its files in reports/monitor, and what was decided, in the terminal."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from rich.markup import escape

from accidents.files import whole_folder
from accidents.monitoring.measurements import MonitorReport
from accidents.params import Params
from commands.project import ROOT, console
from commands.raw_files import hand_over_input
from commands.reports_index import renew_index

REPORTS = ROOT / "reports" / "monitor"
_COLOURS = {"keep": "green", "alert": "yellow", "recalibrate": "magenta", "retrain": "red"}


def run_monitor(
    params: Params, stack: str, config: Path | None, given: str | None, loop_id: str
) -> MonitorReport:
    """Run the monitor pipeline; put its files into reports/monitor and print what was decided."""
    from accidents.features.features_by_stage import STAGES
    from accidents.scoring.batch import check_input
    from commands.push import metrics_file
    from pipelines import runs
    from pipelines.config import load_config
    from pipelines.monitor import monitor as pipeline
    from steps.support.champion_and_versions import model_name
    from steps.support.references import refer_to

    started = time.monotonic()
    settings = load_config("monitor", stack, ROOT / "configs", config)
    if given is not None:
        check_input(given, params.data)
    champion = refer_to(params.stage, None)
    version = None if given is None else hand_over_input(given, params.data)
    run = runs.run(
        pipeline,
        settings,
        params=params,
        champion=champion,
        given=given,
        input_version=version,
        loop_id=loop_id,
    )
    # The metrics of the last push of each model are kept there, too.
    kept = [metrics_file(model_name(stage)).name for stage in STAGES]
    run.export([("report_window", "monitor_reports")], whole_folder(REPORTS, keep=kept))
    renew_index(REPORTS, stack, run.commit)
    report: MonitorReport = run.load("decide_action", "monitor_report")
    _show(report, stack, time.monotonic() - started)
    return report


def _show(report: MonitorReport, stack: str, seconds: float) -> None:
    measured, decision = report.measurements, report.decision
    window = measured.window
    where = "of the prediction log" if window.from_log else f"of {window.source}"
    colour = _COLOURS[decision.action]
    lines = [
        f"\n[bold]{measured.champion.name}[/] version {measured.champion.version}, over {window.rows:,} "
        f"accident{'s' * (window.rows != 1)} {escape(where)}, {window.labelled:,} of them labelled",
        f"[bold {colour}]{decision.action}[/]",
        *(f"  {escape(reason)}" for reason in decision.reasons),
        *_performance(report),
        *(f"[dim]{escape(note)}[/]" for note in measured.notes),
        f"Report: {os.path.relpath(REPORTS / 'report.html')}; beside it monitor.json, Evidently's pages",
        f"{seconds:.0f} s on stack {stack}.",
    ]
    for line in lines:
        console.print(line, highlight=False)
    sys.stdout.flush()


def _performance(report: MonitorReport) -> list[str]:
    performance = report.measurements.performance
    if performance is None:
        return []
    shown = {figure.metric: figure for figure in performance.figures}
    roc, gap = shown["roc_auc"], shown["calibration_gap"]
    promised = "" if roc.expected is None else f" (promised {roc.expected:.3f})"
    return [
        f"Performance on {performance.accidents:,} labelled accidents: ROC-AUC {roc.value:.3f} "
        f"\\[{roc.low:.3f}, {roc.high:.3f}]{promised}, calibration gap {gap.value:+.3f}."
    ]
