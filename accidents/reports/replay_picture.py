"""The picture of a replay: each month's decision, what it was taken on, how good the model really was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, PercentFormatter

from accidents.data.reading.cell_parsers import LAST_OLD_YEAR
from accidents.monitoring.measurements import ACTIONS, KINDS
from accidents.replay.arrivals import MONTHS
from accidents.replay.records import Record, Replay, Training
from accidents.reports.figures import BLUE, DPI, FAINT, INK, ON_WHITE, PALE, RED, WIDTH
from accidents.reports.monitor import COLOURS
from accidents.training.split import LABEL_BREAK

HEIGHTS = {
    "champion": 0.55,
    "decision": 1.15,
    "found": 1.75,
    "drifted": 1.5,
    "roc_auc": 1.9,
    "gap": 1.9,
}
ERAS: Mapping[int, str] = {
    LABEL_BREAK: f"{LABEL_BREAK}: “hospitalised” recorded differently",
    LAST_OLD_YEAR + 1: f"{LAST_OLD_YEAR + 1}: new form",
}
FOUND = {"missing": "missing values", "features": "features", "predictions": "predictions",
         "performance": "performance", "new_year": "new year of labels"}  # fmt: skip
HELD, PALE_BLUE, UNKNOWN, WITHIN = "#F3D9A4", "#9CC3DF", "#F2F2F2", "#E3EFE9"
PROMISED: Any = {"color": RED, "lw": 2, "ls": (0, (4, 1.5))}
ON_WHITE_TEXT: Any = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
TEXT: Any = {"ha": "center", "va": "center", "fontsize": 11}
MONTH = 1 / MONTHS
MANY = 12  # years; with more their numbers do not fit into a block


def replay_picture(replay: Replay) -> Figure:
    """Time runs to the right; position and shape say what colour says, so it reads in grey too."""
    figure = Figure(figsize=(WIDTH, 12.4), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06, hspace=0.01)  # type: ignore[union-attr, call-arg]
    figure.suptitle(
        f"What would have been decided, {replay.years[0]} to {replay.years[-1]}",
        x=0.012, ha="left", fontsize=18, fontweight="bold", color=INK,
    )  # fmt: skip
    if replay.synthetic:
        figure.text(0.988, 0.988, "SYNTHETIC DATA", ha="right", va="top", fontsize=14, fontweight="bold",
                    color=RED)  # fmt: skip
    eras = {year: words for year, words in ERAS.items() if replay.years[0] < year <= replay.years[-1]}
    heights = ({"eras": 0.26 * len(eras)} if eras else {}) | HEIGHTS
    layout = figure.subplot_mosaic([[name] for name in heights], height_ratios=list(heights.values()),
                                   sharex=True)  # fmt: skip
    months = [record for record in replay.records if record.window == "month"]
    years = [record for record in replay.records if record.window == "year"]
    _champions(layout["champion"], replay)
    _decisions(layout["decision"], months, years)
    _findings(layout["found"], months, years)
    _drifted(layout["drifted"], months)
    _roc_auc(layout["roc_auc"], months, replay)
    _gap(layout["gap"], months, replay)
    for name in HEIGHTS:
        _time(layout[name], replay, last=name == "gap")
    if eras:
        _eras(layout["eras"], [layout[name] for name in HEIGHTS], eras)
    return figure


def place(month: str) -> float:
    """Where a month begins, in years."""
    year, number = month.split("-")
    return int(year) + (int(number) - 1) * MONTH


def _champions(axes: Axes, replay: Replay) -> None:
    """Draw a block a champion, with the last year of labels it was trained on."""
    champions = _spans(replay)
    for number, (training, start, end) in enumerate(champions):
        colour = "#DCE9F3" if number % 2 else "#B5D0E6"
        axes.broken_barh([(start, end - start)], (0, 1), color=colour, lw=0)
        if end - start > 0.04 * (replay.years[-1] + 1 - replay.years[0]):
            axes.text((start + end) / 2, 0.47, _short(training.years[-1], replay), color=INK, **TEXT)
    first, starts = replay.years[0], [start for _, start, _ in champions]
    if starts[0] - first > 0.06 * (replay.years[-1] + 1 - first):
        axes.text(
            (first + starts[0]) / 2,
            0.47,
            "no model yet",
            color=FAINT,
            style="italic",
            **(TEXT | {"fontsize": 10, "bbox": ON_WHITE_TEXT}),
        )
    axes.set(ylim=(0, 1), yticks=[])
    _title(axes, f"The champion: trained on the labels of {champions[0][0].years[0]} up to …")


def _decisions(axes: Axes, months: Sequence[Record], years: Sequence[Record]) -> None:
    """Draw a cell a month in the lane of its decision; a triangle where a year of labels had come in."""
    for lane, action in enumerate(ACTIONS):
        cells = [(place(record.month), MONTH) for record in months if record.action == action]
        axes.broken_barh(cells, (lane - 0.36, 0.72), color=COLOURS[action], lw=0)
        at = [place(record.month) + MONTH for record in years if record.action == action]
        axes.plot(at, [lane] * len(at), "^", ms=9, color=COLOURS[action], mec=INK, mew=0.9, zorder=3)
    axes.set_yticks(range(len(ACTIONS)), ACTIONS)
    axes.set_ylim(-0.6, len(ACTIONS) - 0.4)
    _title(axes, "Decision about each month's accidents; triangle: about a year whose labels have come in")


def _findings(axes: Axes, months: Sequence[Record], years: Sequence[Record]) -> None:
    """Draw a lane a kind: dark where it was found, pale where it is held up from before."""
    for lane, kind in enumerate(reversed(KINDS)):
        held = [
            (place(record.month), MONTH)
            for record in months
            if kind in record.active and kind not in record.firing
        ]
        axes.broken_barh(held, (lane - 0.36, 0.72), color=HELD, lw=0)
        now = [(place(record.month), MONTH) for record in months if kind in record.firing]
        axes.broken_barh(now, (lane - 0.36, 0.72), color=INK, lw=0)
        at = [place(record.month) + MONTH for record in years if kind in record.firing]
        axes.plot(at, [lane] * len(at), "^", ms=8, color="white", mec=INK, mew=1.3, zorder=3)
    axes.set_yticks(range(len(KINDS)), [FOUND[kind] for kind in reversed(KINDS)])
    axes.set_ylim(-0.6, len(KINDS) - 0.4)
    _title(axes, "What was found (dark), or not yet quiet for long enough (pale); triangle: in a year")


def _drifted(axes: Axes, months: Sequence[Record]) -> None:
    """Bars: how many features drifted, and on top how many more are known less or more often."""
    x = [place(record.month) for record in months]
    moved = [len(record.drifted) for record in months]
    also = [len(set(record.missing) - set(record.drifted)) for record in months]
    style: dict[str, Any] = {"width": MONTH * 0.94, "align": "edge", "lw": 0}
    axes.bar(x, moved, color=BLUE, label="their values have drifted", **style)
    axes.bar(x, also, bottom=moved, color=PALE_BLUE, label="known less or more often only", **style)
    axes.set_ylim(0, max([*(a + b for a, b in zip(moved, also, strict=True)), 3]) * 1.3)
    axes.yaxis.set_major_locator(MultipleLocator(max(1, round(axes.get_ylim()[1] / 5))))
    most = max((record.compared for record in months), default=0)
    _title(axes, f"Features that moved in a month, of up to {most} compared")
    axes.legend(loc="upper left", ncols=2, borderaxespad=0.1, **ON_WHITE)


def _roc_auc(axes: Axes, months: Sequence[Record], replay: Replay) -> None:
    _estimates(axes, months, "roc_auc")
    _promises(axes, replay)
    _title(
        axes, "ROC-AUC of the probabilities as they were given (grey: labels not out when the replay ends)"
    )
    axes.legend(
        handles=[
            Line2D([], [], color=BLUE, marker="o", ms=4, label="a month, 95 % interval"),
            Line2D([], [], **PROMISED, label="promised by the champion's test part"),
        ],
        loc="lower left", ncols=2, borderaxespad=0.1, **ON_WHITE,
    )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.22 * (high - low), high)


def _gap(axes: Axes, months: Sequence[Record], replay: Replay) -> None:
    _estimates(axes, months, "calibration_gap")
    axes.axhline(0, color=INK, lw=1)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    limit = replay.limits.get("calibration_gap")
    words = ""
    if limit is not None:
        axes.axhspan(-limit, limit, color=WITHIN, lw=0, zorder=0)
        words = f" (green: within {limit:.0%})"
    _title(axes, f"Observed share of severe accidents less the mean prediction{words}")


def _estimates(axes: Axes, months: Sequence[Record], metric: str) -> None:
    """Draw a dot with its interval in the middle of each month that has labels; grey the others."""
    for record in months:
        figure = getattr(record, metric)
        middle = place(record.month) + MONTH / 2
        if figure is None or figure.value is None:
            axes.axvspan(place(record.month), place(record.month) + MONTH, color=UNKNOWN, lw=0, zorder=0)
            continue
        axes.plot([middle, middle], [figure.low, figure.high], color=PALE_BLUE, lw=1.6, zorder=2)
        axes.plot(middle, figure.value, "o", color=BLUE, ms=3.5, zorder=3)


def _promises(axes: Axes, replay: Replay) -> None:
    for training, start, end in _spans(replay):
        if training.roc_auc.value is not None:
            axes.plot([start, end], [training.roc_auc.value] * 2, **PROMISED, zorder=4)


def _spans(replay: Replay) -> list[tuple[Training, float, float]]:
    """Those that became champion, each with when it began and ended to serve."""
    serving = [training for training in replay.trainings if training.serves]
    ends = [*(place(training.month) + MONTH for training in serving), replay.years[-1] + 1]
    return [(training, *span) for training, span in zip(serving, pairwise(ends), strict=True)]


def _short(year: int, replay: Replay) -> str:
    """Return a year as it fits into a block: ’16 where there are many."""
    return f"’{year % 100:02}" if len(replay.years) > MANY else str(year)


def _time(axes: Axes, replay: Replay, last: bool) -> None:
    """Years along the bottom, a hair line where a new champion takes over."""
    first, end = replay.years[0], replay.years[-1] + 1
    axes.set_xlim(first, end)
    for training in replay.trainings:
        if training.serves:
            axes.axvline(place(training.month) + MONTH, color=FAINT, lw=0.7, ls=(0, (1, 2)), zorder=1)
    step = 1 if end - first <= 24 else 2
    axes.set_xticks([year + 0.5 for year in range(first, end, step)], [*map(str, range(first, end, step))])
    axes.set_xticks(range(first, end + 1), minor=True)
    axes.tick_params(labelsize=11, colors=INK, length=0, labelbottom=last)
    axes.tick_params(axis="x", which="minor", length=4 if last else 0, color=FAINT)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(PALE)
    axes.grid(axis="y", color="#E6E6E6", lw=0.7)
    axes.set_axisbelow(True)


def _eras(axes: Axes, panels: Sequence[Axes], eras: Mapping[int, str]) -> None:
    """Lines through all panels where the form changes, each with its name in a row above them.

    The names run to the side where there is room, in an order in which no line crosses one.
    """
    low, high = axes.get_xlim()
    to_the_left = min(eras) > (low + high) / 2
    rows = sorted(eras, reverse=not to_the_left)
    axes.axis("off")
    axes.set_ylim(0, len(rows))
    for row, year in enumerate(rows):
        side: Literal["left", "right"] = "right" if to_the_left else "left"
        axes.plot([year, year], [0, row + 0.9], color=INK, lw=1.5, clip_on=False)
        axes.text(year, row + 0.5, f" {eras[year]} ", ha=side, va="center", fontsize=11.5, color=INK)
        for panel in panels:
            panel.axvline(year, color=INK, lw=1.5, zorder=1.5)


def _title(axes: Axes, words: str) -> None:
    axes.set_title(words, loc="left", fontsize=13, color=INK, pad=5)
