"""What an inference run tells on the terminal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from pipelines.runs import Run


def show(run: Run, folder: Path, stack: str, seconds: float, console: Console) -> None:
    """Print what was scored, what was set aside, drift, and where the files are."""
    found = run.load("report_predictions", "figures")
    scoring = run.load("score_accidents", "seconds")
    drift = found["drift"]
    colour = {"stable": "green", "drifted": "yellow"}.get(drift["verdict"], "dim")
    lines = [
        f"\n[bold]{escape(found['input'])}[/], scored with {found['model_name']} version "
        f"{found['model_version']}{', which learnt from synthetic data' if found['synthetic_model'] else ''}",
        *([_bands(found)] if found["scored"] else []),
        _counts(found),
        *(f"[yellow]{escape(warning)}[/]" for warning in found["warnings"]),
        f"Drift: [{colour}]{drift['verdict']}[/]. {escape(drift['words'])}",
        *_outcome(found),
        f"Report: {escape(_near(folder))}/report.html; beside it predictions.csv, set_aside.csv, drift.json",
        f"{seconds:.0f} s on stack {stack}, of which scoring and reasons {scoring:.1f} s.",
    ]
    for line in lines:
        console.print(line, highlight=False)


def _bands(found: dict[str, Any]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("band")
    for title in ("from", "accidents", "share", "alerts"):
        table.add_column(title, justify="right")
    for one in found["bands"]:
        share = one["accidents"] / found["scored"]
        counts = (f"{one['accidents']:,}", f"{share:.1%}", f"{one['alerts']:,}")
        table.add_row(one["band"], f"{one['lower']:.0%}", *counts)
    return table


def _counts(found: dict[str, Any]) -> str:
    noted = f", {found['noted']:,} of them with a note" if found["noted"] else ""
    aside = f", [yellow]{found['set_aside']:,} set aside[/]" if found["set_aside"] else ""
    counts = f"{found['rows']:,} rows: {found['scored']:,} scored{noted}{aside}."
    if not found["scored"]:
        return counts
    mean, usual = (f"{found[name]:.1%}" for name in ("mean_probability", "reference_probability"))
    return (
        f"{counts} {found['alerts']:,} alerts (P(severe) from {found['threshold']:.3f} on). "
        f"Mean P(severe) {mean}; of a sample of the training rows {usual}."
    )


def _outcome(found: dict[str, Any]) -> list[str]:
    if found["outcome"] is None:
        return []
    roc, pr = (found["outcome"]["metrics"][name] for name in ("roc_auc", "pr_auc"))
    return [
        f"As it turned out: ROC-AUC {roc['value']:.3f} \\[{roc['low']:.3f}, {roc['high']:.3f}], "
        f"PR-AUC {pr['value']:.3f} \\[{pr['low']:.3f}, {pr['high']:.3f}]."
    ]


def _near(folder: Path) -> str:
    """The folder as a person in the current one would write it."""
    return os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)
