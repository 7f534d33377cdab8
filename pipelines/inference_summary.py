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
    figures = run.load("report_predictions", "figures")
    scoring = run.load("score_accidents", "seconds")
    drift = figures["drift"]
    colour = {"stable": "green", "drifted": "yellow"}.get(drift["verdict"], "dim")
    lines = [
        f"\n[bold]{escape(figures['input'])}[/], scored with {figures['model_name']} version "
        f"{figures['model_version']}"
        f"{', which learnt from synthetic data' if figures['synthetic_model'] else ''}",
        *([_bands(figures)] if figures["scored"] else []),
        _counts(figures),
        *(f"[yellow]{escape(warning)}[/]" for warning in figures["warnings"]),
        f"Drift: [{colour}]{drift['verdict']}[/]. {escape(drift['words'])}",
        *_outcome(figures),
        f"Report: {escape(_near(folder))}/report.html; beside it predictions.csv, set_aside.csv, drift.json",
        f"{seconds:.0f} s on stack {stack}, of which scoring and reasons {scoring:.1f} s.",
    ]
    for line in lines:
        console.print(line, highlight=False)


def _bands(figures: dict[str, Any]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("band")
    for title in ("from", "accidents", "share", "alerts"):
        table.add_column(title, justify="right")
    for band in figures["bands"]:
        share = band["accidents"] / figures["scored"]
        counts = (f"{band['accidents']:,}", f"{share:.1%}", f"{band['alerts']:,}")
        table.add_row(band["band"], f"{band['lower']:.0%}", *counts)
    return table


def _counts(figures: dict[str, Any]) -> str:
    noted = f", {figures['noted']:,} of them with a note" if figures["noted"] else ""
    aside = f", [yellow]{figures['set_aside']:,} set aside[/]" if figures["set_aside"] else ""
    counts = f"{figures['rows']:,} rows: {figures['scored']:,} scored{noted}{aside}."
    if not figures["scored"]:
        return counts
    mean, usual = (f"{figures[name]:.1%}" for name in ("mean_probability", "reference_probability"))
    return (
        f"{counts} {figures['alerts']:,} alerts (P(severe) from {figures['threshold']:.3f} on). "
        f"Mean P(severe) {mean}; of a sample of the training rows {usual}."
    )


def _outcome(figures: dict[str, Any]) -> list[str]:
    if figures["outcome"] is None:
        return []
    roc, pr = (figures["outcome"]["metrics"][name] for name in ("roc_auc", "pr_auc"))
    return [
        f"As it turned out: ROC-AUC {roc['value']:.3f} \\[{roc['low']:.3f}, {roc['high']:.3f}], "
        f"PR-AUC {pr['value']:.3f} \\[{pr['low']:.3f}, {pr['high']:.3f}]."
    ]


def _near(folder: Path) -> str:
    """Return the folder as a person in the current one would write it."""
    return os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)
