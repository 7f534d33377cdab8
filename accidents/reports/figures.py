"""The pictures of a model's report: each function takes arrays or results and returns a matplotlib Figure.

Drawn on `Figure` objects, so nothing is shared between threads or left open. Colours are Okabe and Ito's,
which colour-blind readers tell apart; lines differ in dash as well. Every figure is 1200 pixels wide.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from accidents.evaluation.metrics import (
    BUDGET,
    ECE_BINS,
    READABLE,
    Estimate,
    calibration_curve,
    evaluate,
    lift_curve,
)
from accidents.evaluation.slices import SliceResult
from accidents.features import FEATURES

Array = npt.NDArray[Any]

BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
INK, FAINT, PALE = "#222222", "#767676", "#D9D9D9"
STYLES: Sequence[tuple[str, Any, float]] = (
    (BLUE, "-", 2.6),
    (ORANGE, (0, (5, 2)), 1.8),
    (GREEN, (0, (1, 1.2)), 2.0),
    (PURPLE, "-.", 1.8),
)
WIDTH, DPI = 12.0, 100
ON_WHITE: Any = {
    "fontsize": 11,
    "frameon": True,
    "facecolor": "white",
    "edgecolor": "none",
    "framealpha": 0.9,
}


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file's content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    return buffer.getvalue()


def roc_and_pr(y: Array, scores: Mapping[str, Array]) -> Figure:
    """ROC and precision-recall curves of `scores` {name: P(severe), (n,)}; the model first."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    figure, (roc, pr) = _panels("Telling severe accidents from others", 5.6, 2)
    for (name, p), (colour, dash, width) in zip(_ranking(scores).items(), STYLES, strict=False):
        line: dict[str, Any] = {"color": colour, "ls": dash, "lw": width}
        false, true, _ = roc_curve(y, p)
        roc.plot(false, true, label=f"{_plain(name)}  {roc_auc_score(y, p):.3f}", **line)
        precision, recall, _ = precision_recall_curve(y, p)
        # The last points rest on a handful of accidents and jump about: leave them out of the picture.
        shown = recall >= 0.01
        pr.plot(
            recall[shown],
            precision[shown],
            label=f"{_plain(name)}  {average_precision_score(y, p):.3f}",
            **line,
        )
    share = float(np.mean(y))
    roc.plot([0, 1], [0, 1], color=FAINT, lw=1.2, label="chance  0.500")
    pr.axhline(share, color=FAINT, lw=1.2, label=f"prevalence  {share:.3f}")
    _dress(roc, "ROC", "other accidents alerted (false positive rate)", "severe accidents alerted (recall)")
    _dress(
        pr,
        "Precision and recall",
        "severe accidents alerted (recall)",
        "alerted accidents that are severe (precision)",
    )
    legends: Sequence[tuple[Axes, str, Any]] = (
        (roc, "area under the curve", "lower right"),
        (pr, "average precision", "lower left"),
    )
    for axes, title, place in legends:
        _percent(axes, "xy")
        axes.set(xlim=(0, 1), ylim=(0, 1.01))
        axes.legend(loc=place, title=title, alignment="left", **ON_WHITE)
    roc.set_aspect("equal")
    return figure


def calibration(y: Array, p: Array) -> Figure:
    """Observed share of severe accidents against the predicted one, and how often each is predicted."""
    figure, (curve, counts) = _panels("Is a predicted 40 % really 40 %?", 7.2, 1, rows=(3, 1))
    points = calibration_curve(y, p)
    curve.plot([0, 1], [0, 1], color=FAINT, lw=1.2, label="perfect")
    spread = np.vstack([points["observed"] - points["low"], points["high"] - points["observed"]])
    style: dict[str, Any] = {"color": BLUE, "marker": "o", "ms": 7, "lw": 2, "elinewidth": 1.6, "capsize": 4}
    low_high = np.maximum(spread, 0)  # rounding can leave -1e-17, which matplotlib refuses
    curve.errorbar(points["predicted"], points["observed"], low_high, label="model, 95 % interval", **style)
    error = evaluate(y, p, n_bootstrap=0)["ece"].value
    _dress(curve, f"Calibration error (ECE, {ECE_BINS} bins): {error:.3f}", "", "observed share severe")
    curve.legend(loc="upper left", frameon=False, fontsize=12)
    edges = np.linspace(0, 1, ECE_BINS + 1)
    outcomes = [p[y == 1], p[y == 0]]
    counts.hist(
        outcomes,
        bins=edges.tolist(),
        stacked=True,
        color=[RED, PALE],
        label=["severe", "not severe"],
        rwidth=0.92,
    )
    _dress(counts, "", "predicted P(severe)", "accidents")
    counts.legend(loc="upper right", frameon=False, fontsize=11)
    counts.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    _percent(curve, "xy")
    _percent(counts, "x")
    curve.set(xlim=(0, 1), ylim=(0, 1))
    counts.set(xlim=(0, 1))
    return figure


def lift(y: Array, scores: Mapping[str, Array], budget: float = BUDGET) -> Figure:
    """Severe accidents reached by alerting the riskiest share, and how often alerts hit."""
    figure, (gains, lifts) = _panels(f"What a budget of {budget:.0%} of all accidents reaches", 5.6, 2)
    for (name, p), (colour, dash, width) in zip(_ranking(scores).items(), STYLES, strict=False):
        curve = lift_curve(y, p, 201)
        line: dict[str, Any] = {"color": colour, "ls": dash, "lw": width, "label": _plain(name)}
        gains.plot(curve["share"], curve["recall"], **line)
        lifts.plot(curve["share"][2:], curve["lift"][2:], **line)
    curve = lift_curve(y, next(iter(scores.values())), 1001)
    reached, better = (float(np.interp(budget, curve["share"], curve[key])) for key in ("recall", "lift"))
    best = np.minimum(curve["share"][1:] / np.mean(y), 1)
    gains.plot(curve["share"][1:], best, color=FAINT, lw=1.2, ls=":", label="perfect ranking")
    gains.plot([0, 1], [0, 1], color=FAINT, lw=1.2, label="chance")
    lifts.axhline(1, color=FAINT, lw=1.2)
    marks = (
        (gains, reached, f"{reached:.0%} of the severe\naccidents reached"),
        (lifts, better, f"{better:.2f} times as often\nsevere as the average"),
    )
    for axes, value, text in marks:
        axes.axvline(budget, color=RED, lw=1.4)
        axes.plot(budget, value, "o", color=RED, ms=9)
        axes.text(
            budget + 0.02,
            0.04,
            text,
            transform=axes.get_xaxis_transform(),
            color=RED,
            fontsize=13,
            fontweight="bold",
        )
    _dress(
        gains,
        "Severe accidents reached",
        "share of accidents alerted, riskiest first",
        "share of severe accidents",
    )
    _dress(
        lifts,
        "Lift over alerting at random",
        "share of accidents alerted, riskiest first",
        "times the average share severe",
    )
    lifts.legend(*gains.get_legend_handles_labels(), loc="upper right", **ON_WHITE)
    gains.set(xlim=(0, 1), ylim=(0, 1.01))
    lifts.set(xlim=(0, 1), ylim=(0, None))
    _percent(gains, "xy")
    _percent(lifts, "x")
    return figure


def importance(values: Mapping[str, float], top: int = 20) -> Figure:
    """Return the `top` features by importance, mean |contribution| in log-odds, as bars."""
    first = sorted(values.items(), key=lambda item: item[1])[-top:]
    figure, (axes,) = _panels("What moves the prediction most", 1.4 + 0.34 * len(first), 1)
    names, lengths = [_plain(name) for name, _ in first], [value for _, value in first]
    bars = axes.barh(names, lengths, color=BLUE, height=0.72)
    axes.bar_label(bars, fmt="%.3f", padding=4, fontsize=11, color=INK)
    _dress(axes, "", "mean |contribution| to the log-odds of severe", "", grid="x")
    axes.set_xlim(0, max([*lengths, 1e-9]) * 1.1)
    axes.set_ylim(-0.6, len(first) - 0.4)
    return figure


def shap_summary(
    contributions: Array, values: Array, names: Sequence[str], seed: int, top: int = 15
) -> Figure:
    """One dot an accident and feature: how far the feature moved it, coloured by the feature's value.

    Parameters
    ----------
    contributions : SHAP values in log-odds, (n, features).
    values : the feature values, (n, features), NaN where not known.
    seed : of the accidents that are shown, and of where dots that would hide each other are put.
    """
    order = np.argsort(np.abs(contributions).mean(axis=0))[-top:]
    figure, (axes,) = _panels("How each feature moves single accidents", 1.9 + 0.46 * len(order), 1)
    rng = np.random.default_rng(seed)
    categories = {feature.name for feature in FEATURES if feature.kind == "category"}
    shown = rng.permutation(len(contributions))[:3000]
    dots = None
    for row, column in enumerate(order):
        x, value = contributions[shown, column], values[shown, column]
        heights = row + _swarm(x, rng)
        plain = np.isnan(value) | (names[column] in categories)
        axes.scatter(x[plain], heights[plain], s=5, color="#9E9E9E", linewidths=0, rasterized=True)
        style: dict[str, Any] = {"c": _percentile(value[~plain]), "cmap": "plasma", "vmin": 0, "vmax": 1.05}
        dots = axes.scatter(x[~plain], heights[~plain], s=5, linewidths=0, rasterized=True, **style)
    axes.axvline(0, color=INK, lw=1)
    axes.set_yticks(range(len(order)), [_plain(names[column]) for column in order])
    _dress(
        axes,
        "",
        "lowers the risk   ◀   contribution to the log-odds of severe   ▶   raises the risk",
        "",
        grid="x",
    )
    axes.set_ylim(-0.6, len(order) - 0.4)
    if dots is not None:
        bar = figure.colorbar(dots, ax=axes, ticks=[0, 1], aspect=40, pad=0.01)
        bar.ax.set_yticklabels(["low", "high"], fontsize=11)
        bar.set_label("value of a number or flag (grey: category, or not known)", fontsize=11)
        bar.outline.set_visible(False)
    return figure


def slices(
    results: Sequence[SliceResult],
    overall: Mapping[str, Estimate] | None = None,
    metrics: Sequence[str] = ("roc_auc", "recall_at_budget"),
) -> Figure:
    """Every group of every slice with its 95 % interval, beside `overall`; too small groups say so."""
    lines = _slice_lines(results)
    figure, panels = _panels(
        "How well it does in parts of the test set", 1.6 + 0.27 * len(lines), len(metrics), share_y=True
    )
    for axes, metric in zip(panels, metrics, strict=True):
        whole = overall[metric] if overall else None
        if whole:
            axes.axvspan(whole.low, whole.high, color=BLUE, alpha=0.15, lw=0)
            axes.axvline(whole.value, color=BLUE, lw=1.2)
        for height, (_, result) in enumerate(lines):
            if result is not None:
                _slice_point(axes, height, result, metric)
        title = f"\nwhole test set {whole.value:.3f} (blue)" if whole else ""
        _dress(axes, READABLE[metric] + title, "", "", grid="x")
    panels[0].set_yticks(range(len(lines)), [label for label, _ in lines])
    for text, (_, result) in zip(panels[0].get_yticklabels(), lines, strict=True):
        text.set_fontweight("bold" if result is None else "normal")
    panels[0].set_ylim(len(lines) - 0.4, -0.6)
    return figure


def _slice_lines(results: Sequence[SliceResult]) -> list[tuple[str, SliceResult | None]]:
    """(label, group) per line; a slice's title has no group."""
    lines: list[tuple[str, SliceResult | None]] = []
    for result in results:
        if not lines or lines[-1][1] is None or lines[-1][1].title != result.title:
            lines.append((result.title, None))
        lines.append((f"{result.group}  (n = {result.accidents:,})", result))
    return lines


def _slice_point(axes: Axes, height: int, result: SliceResult, metric: str) -> None:
    if result.evaluation is None:
        where = axes.get_yaxis_transform()
        boxed = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        style: dict[str, Any] = {
            "va": "center",
            "fontsize": 10,
            "color": FAINT,
            "style": "italic",
            "bbox": boxed,
        }
        axes.text(0.01, height, result.note, transform=where, **style)
        return
    estimate = result.evaluation[metric]
    axes.plot([estimate.low, estimate.high], [height, height], color=INK, lw=1.8, solid_capstyle="butt")
    axes.plot(estimate.value, height, "o", color=INK, ms=6)


def _panels(
    title: str, height: float, columns: int, rows: Sequence[float] = (1,), share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.1)  # type: ignore[union-attr, call-arg]
    figure.suptitle(title, x=0.012, ha="left", fontsize=18, fontweight="bold", color=INK)
    grid = figure.subplots(len(rows), columns, squeeze=False, sharey=share_y, height_ratios=rows)
    return figure, list(grid.ravel())


def _dress(axes: Axes, title: str, x: str, y: str, grid: str = "both") -> None:
    axes.set_title(title, loc="left", fontsize=13, color=INK)
    axes.set_xlabel(x, fontsize=12, color=INK)
    axes.set_ylabel(y, fontsize=12, color=INK)
    axes.tick_params(labelsize=11, colors=INK, length=0, pad=7)
    axes.grid(axis=grid, color="#E6E6E6", lw=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(PALE)


def _percent(axes: Axes, which: str) -> None:
    for name in which:
        getattr(axes, f"{name}axis").set_major_formatter(PercentFormatter(1, decimals=0))


def _ranking(scores: Mapping[str, Array]) -> dict[str, Array]:
    """Those that rank at all: a constant prediction is the chance line already."""
    return {name: p for name, p in scores.items() if np.ptp(p) > 0}


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _percentile(values: Array) -> Array:
    """Rank of each value from 0 to 1, equal values alike: a few outliers would wash the colours out."""
    distinct, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(distinct) <= 1:
        return np.full(len(values), 0.5)
    middle = np.cumsum(counts) - counts / 2
    ranks: Array = (middle - middle[0]) / (middle[-1] - middle[0])
    return ranks[where]


def _swarm(x: Array, rng: np.random.Generator, half: float = 0.4) -> Array:
    """Heights within ±`half`, wider where dots are denser."""
    counts, edges = np.histogram(x, bins=80)
    density = counts[np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(counts) - 1)] / counts.max()
    heights: Array = rng.uniform(-half, half, len(x)) * np.sqrt(density)
    return heights
