"""`--pipeline monitor`: once, or again and again with `--every`."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import schedule
from rich.markup import escape

from accidents.errors import AccidentsError, SettingsError
from accidents.files import write_whole
from accidents.monitoring.measurements import MonitorReport
from accidents.params import Params
from accidents.predictions.store import LOOP
from commands.champion_params import champion_params
from commands.loop_settings import loop_settings
from commands.prediction_store import opened_store
from commands.project import console
from commands.signals import heed_signals
from commands.temporary_folder import scratch

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TICK = 1.0  # seconds between looks at the clock


def monitor(
    params: Params, stack: str, config: Path | None, given: str | None, source: str | None, act: bool,
    reason: str, only: str | None = None, report: Path | None = None,
) -> None:  # fmt: skip
    """Look, decide and, if `act`, act on it.

    Parameters
    ----------
    given : what `--input` says; None for the prediction log.
    source : what `--source` says; None for the champion's.
    reason : who started it: by hand, schedule, alert.
    only : the one stage of the loop to do.
    report : file for what this look finds and decides; reports/monitor is that of whoever looked last.

    Raises
    ------
    SettingsError : `report` is a folder, or in one that is not there.
    """
    from commands.loop import Loop

    if report is not None and not report.parent.is_dir():
        raise SettingsError(f"--report {report}: there is no folder {report.parent}")
    if report is not None and report.is_dir():
        raise SettingsError(f"--report {report} is a folder; name a file in it")
    seconds = loop_settings().lease_seconds
    params = champion_params(params, stack, source)
    with opened_store(begin=given is not None) as store, store.lease(LOOP, seconds) as lease:
        loop = Loop(params, stack, store, lease, source)
        if only is None:
            looked: MonitorReport | None = loop.run(config, given, act, reason)
        else:
            looked = loop.run_only(only, config, given, reason)
    if report is not None and looked is not None:
        write_whole(report, looked.model_dump_json(indent=1) + "\n")


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


def parse_every(text: str) -> timedelta:
    """`30m`, `6h`, `1d` as a period. Raises SettingsError for anything else, and for less than 10 seconds."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    period = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta(0)
    if period < timedelta(seconds=10):
        raise SettingsError(f"--every {text!r} is no period: write 30m, 6h or 1d (10s at least).")
    return period


def _due_in(params: Params, stack: str, period: timedelta) -> timedelta:
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
