"""Accidents on the map: predicted severity, beside the actual one where it is known, on the same colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from accidents.geography.boxes import SHOWN_MAINLAND, SHOWN_OVERSEAS, Box
from accidents.reports.figures import DPI, FAINT, INK, PALE, WIDTH

Array = npt.NDArray[Any]

FEWEST = 5  # accidents in a hexagon; with fewer its share says nothing
FEWEST_OVERSEAS = 50  # accidents for an inset
ENOUGH = 1_000  # accidents on a map; of fewer each is shown
COLOURS, TOO_FEW = "viridis_r", "#EBEBEB"


def severity_map(latitude: Array, longitude: Array, y: Array, p: Array) -> Figure:
    """Mean predicted P(severe) beside the share that was severe, per hexagon.

    Parameters
    ----------
    latitude, longitude : degrees WGS84, NaN where not known, shape (n,); y : 0 or 1; p : P(severe).
    """
    return _draw_maps(
        latitude, longitude, p, {"Predicted: mean P(severe)": p, "Actual: share severe": y}, FEWEST
    )


def predicted_map(latitude: Array, longitude: Array, p: Array) -> Figure:
    """Mean predicted P(severe) per hexagon; of few accidents each hexagon is coloured, however few it has.

    The arguments are those of `severity_map`.
    """
    fewest = FEWEST if len(p) >= ENOUGH else 1
    return _draw_maps(latitude, longitude, p, {"Mean predicted P(severe)": p}, fewest)


def _draw_maps(
    latitude: Array, longitude: Array, p: Array, sides: Mapping[str, Array], fewest: int
) -> Figure:
    """One map a side, by its title; `p` decides on the colours."""
    insets = [
        name
        for name, box in SHOWN_OVERSEAS.items()
        if _within(latitude, longitude, box).sum() >= FEWEST_OVERSEAS
    ]
    width = WIDTH if len(sides) > 1 else WIDTH * 0.65
    figure = Figure(figsize=(width, 7.4 + (1.5 if insets else 0)), dpi=DPI, layout="constrained")
    figure.suptitle(
        "Where accidents are severe", x=0.012, ha="left", fontsize=18, fontweight="bold", color=INK
    )
    top = float(np.clip(np.ceil(np.quantile(p, 0.98) * 10) / 10, 0.2, 1))
    layout = figure.subplot_mosaic(_mosaic(insets, len(sides)), height_ratios=[5.2, 1] if insets else [1])
    for side, (title, values) in enumerate(sides.items()):
        for name in insets:
            _draw(layout[f"{side}{name}"], latitude, longitude, values, SHOWN_OVERSEAS[name], top, fewest)
            _frame(layout[f"{side}{name}"], name)
        drawn = _draw(layout[str(side)], latitude, longitude, values, SHOWN_MAINLAND, top, fewest)
        layout[str(side)].set_title(title, loc="left", fontsize=14, color=INK)
    bar = figure.colorbar(drawn, ax=list(layout.values()), orientation="horizontal", aspect=60, shrink=0.6,
                          extend="max", format=PercentFormatter(1, decimals=0))  # fmt: skip
    placed = int(np.isfinite(latitude).sum())
    pale = f" (pale: fewer than {fewest})" if fewest > 1 else ""
    label = f"severe accidents{pale}; {placed:,} of {len(p):,} accidents have a place"
    bar.set_label(label, fontsize=12, color=INK)
    bar.outline.set_visible(False)
    return figure


def _mosaic(insets: list[str], sides: int) -> list[Any]:
    """Return the maps side by side, each above its row of overseas insets."""
    wide = max(len(insets), 1)
    maps = [[str(side) for side in range(sides) for _ in range(wide)]]
    return [*maps, [f"{side}{name}" for side in range(sides) for name in insets]] if insets else maps


def _frame(axes: Axes, name: str) -> None:
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(PALE)
    axes.set_title(name, loc="left", fontsize=11, color=FAINT)


def _draw(
    axes: Axes, latitude: Array, longitude: Array, values: Array, box: Box, top: float, fewest: int
) -> PolyCollection:
    """Hexagons as small as the accidents in the box allow; pale where there are too few to tell."""
    south, north, west, east = box
    inside = _within(latitude, longitude, box)
    x, y, shown = longitude[inside], latitude[inside], values[inside]
    stretch = 1 / np.cos(
        np.radians((south + north) / 2)
    )  # a degree of longitude is shorter than one of latitude
    columns = int(np.clip(np.sqrt(len(x)) / 3, 8, 60))
    rows = max(1, round(columns * (north - south) * stretch / (east - west) / np.sqrt(3)))
    grid: dict[str, Any] = {
        "gridsize": (columns, rows),
        "extent": (west, east, south, north),
        "linewidths": 0.2,
    }
    axes.hexbin(x, y, mincnt=1, cmap=ListedColormap([TOO_FEW]), **grid)
    drawn = axes.hexbin(x, y, C=shown, mincnt=fewest, cmap=COLOURS, vmin=0, vmax=top, **grid)
    axes.set(xlim=(west, east), ylim=(south, north), aspect=stretch, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return drawn


def _within(latitude: Array, longitude: Array, box: Box) -> npt.NDArray[np.bool_]:
    south, north, west, east = box
    return np.asarray((latitude >= south) & (latitude <= north) & (longitude >= west) & (longitude <= east))
