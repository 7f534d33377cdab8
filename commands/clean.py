"""`run.py clean`: what is older than params.yaml keeps, shown first, then removed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.progress import track
from rich.prompt import Confirm
from rich.table import Table

from accidents.params import KeepSettings, Params
from accidents.predictions.database_tables import NoDatabaseError
from accidents.predictions.prediction_log import PredictionLogError
from accidents.predictions.retention import Ages
from commands.output_folder import is_output
from commands.prediction_store import opened_store
from commands.project import ROOT, console, on_stack
from commands.trim import ages_of
from engine.settings import DaskSettings

LOGS = (".serving", ".watch")
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Old:
    """Old things of one kind: what they are, how many, why they go, and how, one after another."""

    what: str
    count: int
    kept: str
    remove: Callable[[], Iterable[object]]


def clean(params: Params, stack: str, sure: bool) -> None:
    """Show what is older than `params.keep` says; remove it if `sure`, or if the person says so.

    Nothing is removed where nobody can be asked.
    """
    old = [kind for kind in _old(params.keep, stack) if kind.count]
    if not old:
        console.print("Nothing is older than params.yaml keeps.")
        return
    console.print(_table(old))
    if not sure and not (console.is_terminal and Confirm.ask("Remove it?", console=console, default=False)):
        console.print("Nothing was removed. To remove it: python run.py clean --yes", highlight=False)
        return
    for kind in old:
        for _ in track(kind.remove(), f"Removing {kind.what}", kind.count, console=console):
            pass
    console.print("Removed.")


def _table(old: list[Old]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title="To be removed", title_justify="left")
    for head in ("what", "how many", "kept (params.yaml: keep)"):
        table.add_column(head)
    for kind in old:
        table.add_row(kind.what, f"{kind.count:,}", kind.kept)
    return table


def _old(keep: KeepSettings, stack: str) -> Iterator[Old]:
    yield from _runs(keep, stack)
    yield _reports(keep.reports)
    yield _partitions(keep.partitions)
    yield _logs(keep.log_megabytes)
    yield from _predictions(keep)


def _runs(keep: KeepSettings, stack: str) -> Iterator[Old]:
    on_stack(stack)
    from pipelines import retention

    runs, tracked = retention.old_runs(keep), retention.old_tracked(keep)
    snapshots, used = retention.unused_snapshots(), "those of runs that are there"
    newest = f"the newest {keep.monitor_runs} of monitor and the like, {keep.inference_runs} of inference"
    yield Old("runs and their artifacts", len(runs), newest, lambda: retention.remove_runs(runs))
    yield Old("runs of the tracker", len(tracked), newest, lambda: map(retention.remove_tracked, tracked))
    yield Old(
        "snapshots of removed runs", snapshots, used, lambda: repeat(None, retention.remove_snapshots())
    )


def _reports(kept: int | None) -> Old:
    """Find the outputs of batch scoring; a folder that holds other files too is left alone, and named."""
    notes = ("summary.json", "made_of.json")  # of either engine
    noted = {file.parent for note in notes for file in (ROOT / "reports" / "inference").glob(f"*/{note}")}
    folders = {folder for folder in noted if not folder.is_symlink()}  # what a link leads to is elsewhere
    outputs = {folder for folder in folders if is_output(folder)}
    for folder in sorted(folders - outputs):
        console.print(
            f"[yellow]Left alone, as other files are in it:[/] {escape(str(folder.relative_to(ROOT)))}",
            highlight=False,
        )
    return _folders("folders in reports/inference", outputs, kept)


def _partitions(kept: int | None) -> Old:
    """Find sets in this machine's folder; where a cached step needs one that is gone, it says so."""
    folder = ROOT / DaskSettings().folder
    sets = (path for kind in ("tables", "rows") for path in folder.glob(f"{kind}-*"))
    return _folders("sets of partitions", sets, kept)


def _folders(what: str, folders: Iterable[Path], kept: int | None) -> Old:
    newest = sorted(folders, key=lambda folder: -folder.stat().st_mtime)
    old = [] if kept is None else newest[kept:]
    return Old(what, len(old), f"the newest {kept}", lambda: map(shutil.rmtree, old))


def _logs(megabytes: int | None) -> Old:
    most = None if megabytes is None else megabytes * MEGABYTE
    files = (file for folder in LOGS for file in (ROOT / folder).rglob("*.log"))
    large = [] if most is None else [file for file in files if file.stat().st_size > most]
    kept = f"the last {megabytes} MB of each"
    return Old("long log files", len(large), kept, lambda: map(_shorten, large, repeat(most)))


def _shorten(file: Path, most: int | None) -> Path:
    """Keep the end of a log, from a whole line on; whoever writes it, at its end, goes on writing."""
    with file.open("r+b") as log:
        log.seek(-(most or 0), 2)
        log.readline()
        end = log.read()
        log.seek(0)
        log.write(end)
        log.truncate()
    return file


def _predictions(keep: KeepSettings) -> Iterator[Old]:
    ages = ages_of(keep)
    try:
        with opened_store() as store:
            count = store.log.count_old(ages)
    except NoDatabaseError:
        return
    except PredictionLogError as error:
        console.print(f"[yellow]The prediction log is left alone:[/] {error}", highlight=False)
        return
    days = f"{keep.prediction_days} days, {keep.labelled_days} with an outcome"
    kept = f"{days}; as of {datetime.now(UTC):%Y-%m-%d}"  # who is asked sees whether the clock is right
    yield Old("predictions", count, kept, lambda: _forget(ages))


def _forget(ages: Ages) -> Iterator[None]:
    """One step of progress a prediction."""
    with opened_store() as store:
        for count in store.log.forget(ages, again=True):
            yield from repeat(None, count)
