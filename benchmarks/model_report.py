"""What a branch changes in the model, as Markdown: metrics, gates, slices and curves beside those of main."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from accidents.errors import DataError
from accidents.evaluation.metrics import HIGHER_IS_BETTER, Estimate
from benchmarks.pull_request_comment import MARKER
from benchmarks.results_page import table

NAMES = {
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "brier": "Brier score",
    "log_loss": "log loss",
    "ece": "ECE",
    "recall_at_budget": "recall at the budget",
    "precision_at_budget": "precision at the budget",
}
OF_SLICES = "roc_auc"  # what the gates ask of slices
CURVES = {"roc": ("false_positive_rate", "true_positive_rate"), "precision_recall": ("recall", "precision"),
          "calibration": ("predicted", "observed"), "lift": ("share", "recall")}  # fmt: skip
POINTS = 11  # of a curve in the comment
SAME = 5e-5  # half of the last digit shown
AGAIN = "Run `make train` on that revision, or name the revision and it is trained for you."


@dataclass(frozen=True)
class Slice:
    """One group of the test accidents; `metrics` is empty where it is too small to measure."""

    accidents: int
    metrics: Mapping[str, Estimate]


@dataclass(frozen=True)
class TrainingReports:
    """What a training left in its folder of reports.

    Attributes
    ----------
    facts : what summary.json holds.
    curves : of `reports/plots`, by name; those that are there.
    slices : by "slice: group"; none from before summary.json had them.
    """

    name: str
    facts: Mapping[str, Any]
    metrics: Mapping[str, Estimate]
    curves: Mapping[str, pd.DataFrame]
    slices: Mapping[str, Slice] = field(default_factory=dict)


def read_reports(folder: Path, name: str) -> TrainingReports:
    """Read a folder of reports.

    Parameters
    ----------
    name : how the report calls it, such as a branch.

    Raises
    ------
    DataError
        One of the files is missing, or is not what a training writes.
    """
    summary, metrics = (_read_json(folder / f"{file}.json", name) for file in ("summary", "metrics"))
    try:
        estimates = _estimates(summary["evaluations"]["model"]["metrics"])
        slices = {
            f"{each['slice']}: {each['group']}": Slice(each["accidents"], _estimates(each["metrics"] or {}))
            for each in summary.get("slices", ())
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{name}: summary.json in {folder} has no figures of a model ({error}). {AGAIN}"
        ) from error
    other = [
        metric
        for metric, value in metrics.items()
        if metric in estimates and not _equal(value, estimates[metric].value)
    ]
    if other:
        raise DataError(
            f"{name}: metrics.json and summary.json in {folder} are of two trainings: {', '.join(other)} "
            f"differ. {AGAIN}"
        )
    curves = {
        curve: pd.read_csv(file) for curve in CURVES if (file := folder / "plots" / f"{curve}.csv").is_file()
    }
    return TrainingReports(name, summary, estimates, curves, slices)


def model_report(main: TrainingReports, branch: TrainingReports) -> str:
    """Return the whole report, which begins with the hidden marker of our comment."""
    parts = [
        MARKER,
        f"## Model report: {branch.name} against {main.name}",
        *_warnings(main, branch),
        _verdict(main, branch),
        _metrics(main, branch),
        _gates(main, branch),
        _slices(main, branch),
        _curves(main, branch),
        "*Intervals are 95 % bootstrap intervals of each model alone. On the same accidents a difference may "
        "be real though they overlap: the promotion decides by the paired difference (docs/evaluation.md).*",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def in_words(before: Estimate, after: Estimate, higher_is_better: bool) -> str:
    """Say what two intervals tell of a change."""
    if any(
        math.isnan(number)
        for estimate in (before, after)
        for number in (estimate.value, estimate.low, estimate.high)
    ):
        return "not measured in both"
    if _equal(before.value, after.value):
        return "the same"
    way = "better" if (after.value > before.value) == higher_is_better else "worse"
    if after.low > before.high or after.high < before.low:
        return f"**{way}**: the intervals do not meet"
    if before.low <= after.value <= before.high:
        return f"{way} by less than chance may make: within the interval before"
    return f"perhaps {way}: outside of the interval before, and the two overlap"


def _warnings(main: TrainingReports, branch: TrainingReports) -> Iterator[str]:
    if main.facts.get("synthetic") or branch.facts.get("synthetic"):
        yield "Trained on **synthetic** accidents: the figures compare code, and say nothing of real roads."
    for key, word in (("data_version", "data"), ("split", "split"), ("stage", "knowledge stage")):
        if main.facts.get(key) != branch.facts.get(key):
            yield f"**The {word} is another one**, so the figures are not of the same accidents."


def _verdict(main: TrainingReports, branch: TrainingReports) -> str:
    words = [
        in_words(main.metrics[name], branch.metrics[name], higher)
        for name, higher in HIGHER_IS_BETTER.items()
        if name in main.metrics and name in branch.metrics
    ]
    if not words:
        return "No metric is told by both, so none is compared."
    if all(word == "the same" for word in words):
        return "No metric changes."
    beyond = {way: sum(word.startswith(f"**{way}") for word in words) for way in ("better", "worse")}
    if not any(beyond.values()):
        return "Metrics change, none of them by more than the intervals allow for."
    return " and ".join(
        f"{count} of {len(words)} metrics {way}" for way, count in beyond.items() if count
    ) + (", beyond the intervals.")


def _metrics(main: TrainingReports, branch: TrainingReports) -> str:
    rows = [
        (NAMES[name], str(main.metrics[name]), str(branch.metrics[name]),
         _change(main.metrics[name], branch.metrics[name], higher),
         in_words(main.metrics[name], branch.metrics[name], higher))
        for name, higher in HIGHER_IS_BETTER.items()
        if name in main.metrics and name in branch.metrics
    ]  # fmt: skip
    head = ("metric", "main", "branch", "change", "in words")
    return table(head, rows) + _of_one_side(main.metrics, branch.metrics, main.name, branch.name)


def _of_one_side(before: Collection[str], after: Collection[str], main: str, branch: str) -> str:
    """Return a line that names what one side alone has measured; nothing where there is none."""
    reasons = [
        f"only {name} has {', '.join(only)}"
        for name, has, other in ((main, before, after), (branch, after, before))
        if (only := sorted(set(has) - set(other)))
    ]
    return f"\n\nNot compared: {'; '.join(reasons)}." if reasons else ""


def _gates(main: TrainingReports, branch: TrainingReports) -> str:
    before, after = (
        {gate["gate"]: gate for gate in reports.facts.get("decision", {}).get("gates", ())}
        for reports in (main, branch)
    )
    if not after:
        return ""
    passed = sum(gate["passed"] for gate in after.values())
    summary = f"**Gates:** {passed} of {len(after)} passed."
    rows = [
        (name, *(_gate(gates.get(name)) for gates in (before, after)))
        for name in dict.fromkeys((*before, *after))
        if _passed(before.get(name)) != _passed(after.get(name)) or not _passed(after.get(name))
    ]
    return summary + ("\n\n" + table(("gate", "main", "branch"), rows) if rows else "")


def _slices(main: TrainingReports, branch: TrainingReports) -> str:
    missing = [reports.name for reports in (main, branch) if not reports.slices]
    if missing:
        return f"**Slices:** {' and '.join(missing)} told none, so they are not compared."
    before, after = (
        {name: each.metrics[OF_SLICES] for name, each in reports.slices.items() if OF_SLICES in each.metrics}
        for reports in (main, branch)
    )
    rows, beyond = [], 0
    for name, new in after.items():
        if name not in before:
            continue
        old, accidents = before[name], branch.slices[name].accidents
        words = in_words(old, new, True)
        beyond += words.startswith("**")
        rows.append((name, f"{accidents:,}", str(old), str(new), _change(old, new, True), words))
    head = ("slice", "accidents", "main", "branch", "change", "in words")
    return _folded(
        f"Slices: {NAMES[OF_SLICES]} in {len(rows)} parts of the test set, {beyond} beyond the intervals",
        table(head, rows) + _of_one_side(before, after, main.name, branch.name),
    )


def _curves(main: TrainingReports, branch: TrainingReports) -> str:
    both = [name for name in CURVES if name in main.curves and name in branch.curves]
    if not both:
        return "**Plots:** not compared: reports/plots is missing on one side."
    drawn, furthest = [], 0.0
    for name in both:
        x, old, new = _on_one_axis(main.curves[name], branch.curves[name], *CURVES[name])
        apart = float(np.max(np.abs(old - new)))
        furthest = max(furthest, apart)
        drawn.append(_chart(name, CURVES[name], x, old, new, apart))
    return _folded(f"Plots: {len(both)} curves, at most {furthest:.3f} apart", "\n\n".join(drawn))


def _on_one_axis(
    main: pd.DataFrame, branch: pd.DataFrame, across: str, up: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both curves at the same few places, where both have points."""
    low, high = (
        max(main[across].min(), branch[across].min()), min(main[across].max(), branch[across].max())
    )  # fmt: skip
    x = np.linspace(low, high, POINTS)
    old, new = (
        np.interp(x, ordered[across], ordered[up])
        for ordered in (curve.sort_values([across, up]) for curve in (main, branch))
    )
    return x, old, new


def _chart(
    name: str, axes: tuple[str, str], x: np.ndarray, old: np.ndarray, new: np.ndarray, apart: float
) -> str:
    """Return what GitHub draws a curve of."""
    words = [word.replace("_", " ") for word in (name, *axes)]
    line = "    line [{}]".format
    numbers = [", ".join(f"{value:.3f}" for value in values) for values in (old, new)]
    return "\n".join((
        f"{words[0]}: main first, then branch, at most {apart:.3f} apart", "",
        "```mermaid", "xychart-beta",
        f'    x-axis "{words[1]}" {x[0]:.2f} --> {x[-1]:.2f}', f'    y-axis "{words[2]}" 0 --> 1',
        *map(line, numbers), "```",
    ))  # fmt: skip


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def _change(before: Estimate, after: Estimate, higher_is_better: bool) -> str:
    difference = after.value - before.value
    if math.isnan(difference):
        return "–"
    if _equal(before.value, after.value):
        return "= 0"
    good = (difference > 0) == higher_is_better
    return f"{'▲' if difference > 0 else '▼'} {difference:+.4f} {'🟢' if good else '🔴'}"


def _passed(gate: Mapping[str, Any] | None) -> bool | None:
    return None if gate is None else bool(gate["passed"])


def _gate(gate: Mapping[str, Any] | None) -> str:
    return "–" if gate is None else f"{'passed' if gate['passed'] else '**failed**'}: {gate['found']}"


def _estimates(content: Mapping[str, Mapping[str, float | None]]) -> dict[str, Estimate]:
    return {
        name: Estimate(
            *(math.nan if each[key] is None else float(each[key] or 0) for key in ("value", "low", "high"))
        )
        for name, each in content.items()
    }


def _equal(before: float | None, after: float) -> bool:
    return before is None or math.isnan(after) or abs(before - after) < SAME


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{name}: there is no {path.name} in {path.parent}. {AGAIN}") from None
    except ValueError as error:
        raise DataError(f"{name}: {path} is not the JSON that a training writes ({error}). {AGAIN}") from None
    if not isinstance(content, dict):
        raise DataError(f"{name}: {path} is not the JSON that a training writes. {AGAIN}")
    return content
