"""Benchmarks that are commands of their own and print their result as Markdown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from accidents.errors import AccidentsError
from accidents.evaluation.metrics import HIGHER_IS_BETTER
from accidents.files import ROOT
from benchmarks.model_report import NAMES
from benchmarks.options import Options, SkippedError
from benchmarks.results_page import Figure, Outcome
from benchmarks.separate_process import clean_environment

Targets = Mapping[tuple[str, str], Mapping[str, float]]  # {(stage, protocol): {metric: what it should be}}


def run(module: str, about: str, targets: Targets, options: Options) -> Outcome:
    """Return what `python -m MODULE --baac FOLDER` prints, and what of its table has a target.

    Its progress, on standard error, is seen meanwhile.
    """
    if options.quick:
        raise SkippedError("it has no small version")
    if not options.baac.is_dir():
        raise SkippedError("it needs the real files, and there are none: give their folder with --baac")
    words = [sys.executable, "-m", module, "--baac", str(options.baac.resolve())]
    done = subprocess.run(words, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise AccidentsError(f"{module} ended with {done.returncode}; its own message stands above.")
    return Outcome(about=about, figures=figures(done.stdout, targets), body=done.stdout)


def figures(printed: str, targets: Targets) -> tuple[Figure, ...]:
    """Return the figures with a target of a printed table: a line for each stage and protocol."""
    if not targets:
        return ()
    lines = [line.strip("|").split("|") for line in printed.splitlines() if line.startswith("|")]
    head, *rows = ([cell.strip() for cell in line] for line in lines)
    measured = {(row[0], row[1]): dict(zip(head, row, strict=True)) for row in rows}
    return tuple(
        _figure(row, metric, target, measured[row][metric])
        for row, metrics in targets.items()
        for metric, target in metrics.items()
    )


def _figure(row: tuple[str, str], metric: str, target: float, cell: str) -> Figure:
    value, higher = float(cell.partition(" ")[0]), HIGHER_IS_BETTER[metric]
    return Figure(
        what=f"{NAMES[metric]}, {', '.join(row)}",
        target=f"at {'least' if higher else 'most'} {target:g}",
        figure=f"{value:.4f}",
        met=value >= target if higher else value <= target,
    )
