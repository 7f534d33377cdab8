"""What a monitor run leaves behind for people and programs: report.html with its pictures, monitor.json."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from accidents.evaluation.metrics import READABLE
from accidents.monitoring.measurements import FeatureDrift, MonitorReport
from accidents.monitoring.measurements import Figure as Measured
from accidents.reports.figures import BLUE, FAINT, GREEN, INK, ORANGE, PALE, RED, WIDTH, png

COLOURS: Mapping[str, str] = {"keep": BLUE, "alert": ORANGE, "recalibrate": GREEN, "retrain": RED}
MARKERS: Mapping[str, str] = {"keep": "o", "alert": "^", "recalibrate": "D", "retrain": "s"}
_SHOWN = 16  # features in the picture
_RUNS, _LABELS = 40, 8  # runs in the picture, and dates under them
_P_VALUE_METHODS = ("ks", "chi2_two_sample")


def write_monitor(folder: Path, report: MonitorReport, history: Sequence[MonitorReport]) -> None:
    """Write everything but the pages of Evidently and of trials into an existing folder.

    `history` holds this run as its last entry and the earlier ones before it.
    """
    (folder / "monitor.json").write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    pictures = {"history": png(history_figure(history))}
    if report.measurements.drift is not None:
        pictures["features"] = png(features_figure(report.measurements.drift.features))
    for name, content in pictures.items():
        (folder / f"{name}.png").write_bytes(content)
    page = Environment(loader=PackageLoader("accidents.reports"), autoescape=True, undefined=StrictUndefined)
    pages = [path for path in sorted(folder.glob("*.html")) if path.name != "report.html"]
    html = page.get_template("monitor.html").render(
        report=report,
        decision=report.decision,
        measured=report.measurements,
        window=report.measurements.window,
        figures=figure_rows(report),
        pages=[path.name for path in pages if not path.name.startswith("trial_")],
        trials=[path.name for path in pages if path.name.startswith("trial_")],
        pictures={name: base64.b64encode(content).decode() for name, content in pictures.items()},
    )
    (folder / "report.html").write_text(html, encoding="utf-8")


def figure_rows(report: MonitorReport) -> list[tuple[str, str, str, str]]:
    """Metric, figure with interval, what was promised, and whether that counts as a loss, for people."""
    performance = report.measurements.performance
    return [_figure_row(measured) for measured in performance.figures] if performance is not None else []


def _figure_row(measured: Measured) -> tuple[str, str, str, str]:
    name = READABLE.get(measured.metric, "calibration gap (observed less predicted)")
    if measured.value is None:
        return name, "–", "–", ""
    shown = f"{measured.value:.3f} [{measured.low:.3f}, {measured.high:.3f}]"
    return (
        name,
        shown,
        "–" if measured.expected is None else f"{measured.expected:.3f}",
        "lost" if measured.counts else "",
    )


def strength(feature: FeatureDrift) -> float:
    """How near a feature is to its threshold: 1 at it, above 1 drifted; a p-value counts by its logarithm."""
    if feature.statistic is None or not feature.threshold:
        return 0.0
    if feature.method in _P_VALUE_METHODS:
        return math.log(max(feature.statistic, 1e-300)) / math.log(feature.threshold)
    return feature.statistic / feature.threshold


def features_figure(features: Sequence[FeatureDrift]) -> Figure:
    """Each feature's drift beside its threshold, and how often it is not stated, before and now."""
    shown = sorted(features, key=lambda feature: (strength(feature), feature.missing_moved))[-_SHOWN:]
    figure = Figure(figsize=(WIDTH, 0.9 + 0.36 * len(shown)), layout="constrained")
    drift, missing = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for height, feature in enumerate(shown):
        colour = RED if feature.drifted else BLUE
        drift.barh(height, min(strength(feature), 5), color=colour, height=0.65)
        missing.plot(
            [feature.missing_reference, feature.missing_window],
            [height] * 2,
            color=PALE,
            linewidth=2,
            zorder=1,
        )
        missing.plot(feature.missing_reference, height, "o", color=FAINT, markersize=7, label="before")
        missing.plot(
            feature.missing_window,
            height,
            "D",
            color=RED if feature.missing_moved else BLUE,
            markersize=6,
            label="now",
        )
    drift.axvline(1, color=INK, linewidth=1.2, linestyle="--")
    drift.set_yticks(range(len(shown)), [feature.feature.replace("_", " ") for feature in shown])
    drift.set_xlim(0, 5.1)
    drift.set_title("Drift: 1 is the threshold, red is beyond it (cut at 5)", loc="left", fontsize=12)
    missing.set_xlim(-0.03, 1.03)
    missing.set_title("Share not stated: before (grey) and now", loc="left", fontsize=12)
    for axes in (drift, missing):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color=PALE, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure


def history_figure(history: Sequence[MonitorReport]) -> Figure:
    """Draw the last runs side by side: what was decided, drifted features and, with labels, ROC-AUC."""
    shown = history[-_RUNS:]
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    _decisions(above, shown)
    _roc_auc(below, shown)
    every = max(len(shown) // _LABELS, 1)
    below.set_xticks(range(0, len(shown), every), [_day(report) for report in shown[::every]])
    below.set_xlim(-0.5, max(len(shown), 8) - 0.5)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=PALE, linewidth=0.6)
    return figure


def _day(report: MonitorReport) -> str:
    return f"{report.created:%Y-%m-%d}\n{report.created:%H:%M}"


def _decisions(axes: Any, shown: Sequence[MonitorReport]) -> None:
    drifted = [len(report.measurements.drift.drifted) if report.measurements.drift else 0 for report in shown]
    for action, colour in COLOURS.items():
        at = [place for place, report in enumerate(shown) if report.decision.action == action]
        axes.plot(at, [drifted[k] for k in at], MARKERS[action], color=colour, markersize=9, label=action)
    axes.set_ylim(-0.5, max([*drifted, 3]) * 1.35)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.set_title("Drifted features, and what was decided", loc="left", fontsize=12)
    axes.legend(loc="upper left", ncols=3, frameon=False)


def _roc_auc(axes: Any, shown: Sequence[MonitorReport]) -> None:
    known = [(at, figure) for at, report in enumerate(shown) if (figure := _figure_of(report, "roc_auc"))]
    for at, measured in known:
        axes.plot([at] * 2, [measured.low, measured.high], color=BLUE, linewidth=1.5)
        axes.plot(at, measured.value, "o", color=RED if measured.counts else BLUE, markersize=7)
        if measured.expected is not None:
            axes.plot(at, measured.expected, "_", color=INK, markersize=22)
    if not known:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no labels yet", transform=axes.transAxes, ha="center", color=FAINT)
    axes.set_title("ROC-AUC with its 95 % interval; black: what was promised", loc="left", fontsize=12)


def _figure_of(report: MonitorReport, metric: str) -> Measured | None:
    performance = report.measurements.performance
    if performance is None:
        return None
    return next(
        (figure for figure in performance.figures if figure.metric == metric and figure.value is not None),
        None,
    )
