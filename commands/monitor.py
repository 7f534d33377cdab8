"""`--pipeline monitor`: once, or again and again with `--every`."""

from __future__ import annotations

import os
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import schedule
from rich.markup import escape

from accidents.errors import AccidentsError, SettingsError
from accidents.files import whole_folder
from accidents.monitoring.measurements import MonitorReport
from accidents.params import Params
from accidents.predictions.store import LOOP
from commands.loop_settings import loop_settings
from commands.prediction_store import opened_store
from commands.project import ROOT, console
from commands.raw_files import hand_over_input
from commands.signals import heed_signals
from commands.temporary_folder import scratch

REPORTS = ROOT / "reports" / "monitor"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_COLOURS = {"keep": "green", "alert": "yellow", "recalibrate": "magenta", "retrain": "red"}
_TICK = 1.0  # seconds between looks at the clock


def monitor(
    params: Params, stack: str, config: Path | None, given: str | None, source: str | None, act: bool,
    reason: str, only: str | None = None,
) -> None:  # fmt: skip
    """Look, decide and, if `act`, act on it.

    Parameters
    ----------
    given : what `--input` says; None for the prediction log.
    source : what `--source` says; None for the champion's.
    reason : who started it: by hand, schedule, alert.
    only : the one stage of the loop to do.
    """
    from commands.loop import Loop, champion_params

    seconds = loop_settings().lease_seconds
    params = champion_params(params, stack, source)
    with opened_store(begin=given is not None) as store, store.lease(LOOP, seconds) as lease:
        loop = Loop(params, stack, store, lease, source)
        if only is None:
            loop.run(config, given, act, reason)
        else:
            loop.run_only(only, config, given, reason)


def monitor_every(
    params: Params, stack: str, config: Path | None, source: str | None, act: bool, every: str
) -> None:
    """Look at the prediction log again and again, until Ctrl-C; what goes wrong is told, and no more.

    The first look is at once if the last one is longer ago than that, else when it is due.
    """
    period = parse_every(every)
    heed_signals()
    scheduler = schedule.Scheduler()

    def look_once() -> None:
        try:
            with scratch():
                monitor(params, stack, config, None, source, act, "schedule")
        except AccidentsError as error:
            console.print(f"[red]Error:[/] {escape(str(error))}", highlight=False)
        except Exception as error:  # a defect, too, must not end the watch
            console.print(f"[red]Error:[/] {type(error).__name__}: {escape(str(error))}", highlight=False)
        console.print(f"Next look: {datetime.now() + period:%Y-%m-%d %H:%M:%S}. Ctrl-C ends the watch.")

    wait = _due_in(params, stack, period)
    console.print(f"Looking every {every}; the first time {_in_words(wait)}.")
    try:
        _sleep(wait)
        look_once()
        scheduler.every(int(period.total_seconds())).seconds.do(look_once)
        while True:
            scheduler.run_pending()
            time.sleep(_TICK)
    except KeyboardInterrupt:
        console.print("Stopped.")


def look(params: Params, stack: str, config: Path | None, given: str | None, loop_id: str) -> MonitorReport:
    """Run the monitor pipeline; put its files into reports/monitor and print what was decided."""
    from accidents.features.declared import STAGES
    from accidents.reports.index import write_index
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
    write_index(ROOT / "reports")
    report = MonitorReport.model_validate(run.load("decide_action", "monitor_report"))
    _show(report, stack, time.monotonic() - started)
    return report


def parse_every(text: str) -> timedelta:
    """`30m`, `6h`, `1d` as a period. Raises SettingsError for anything else, and for less than 10 seconds."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    period = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta(0)
    if period < timedelta(seconds=10):
        raise SettingsError(f"--every {text!r} is no period: write 30m, 6h or 1d (10s at least).")
    return period


def _due_in(params: Params, stack: str, period: timedelta) -> timedelta:
    from commands.loop import champion_params

    champion_params(params, stack)  # says now, not in a day, that there is no champion or no stack
    with opened_store() as store:
        last = [report.created for report in store.history.reports(params.stage, 1)]
    if not last:
        return timedelta(0)
    # A last look in the future (the clock was moved back) counts as just now.
    return max(timedelta(0), min(period, last[0] + period - datetime.now(UTC)))


def _sleep(wait: timedelta) -> None:
    deadline = time.monotonic() + wait.total_seconds()
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, _TICK))


def _in_words(wait: timedelta) -> str:
    return "now" if not wait else f"in {str(wait).partition('.')[0]}"


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
