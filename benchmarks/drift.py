"""How sure is the verdict of a window: false alarms, and how often a change is found."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context

from accidents.progress import track
from benchmarks.drift_real import real_sections
from benchmarks.drift_windows import MONTHS, SUNNY, draw_window, pool, validator, watched
from benchmarks.options import Options
from benchmarks.results_page import Figure, Outcome, table

TITLE = "Drift: false alarms and power"
SIZE = 2_000  # accidents a window, what the targets are stated for
DRAWS = 200
SIZES: Mapping[int, int] = {500: 40, SIZE: DRAWS, 10_000: 40}  # accidents a window, and draws
MOST_FALSE, LEAST_POWER = 0.05, 0.95
CHANGES: Mapping[str, str] = {
    "lockdown": "lockdown: half of March to May's accidents gone, commuters' most",
    "new_vehicle": "new vehicle category: mobility devices surge in built-up areas",
    "speed_limit": "speed limit: departmental roads from 80 to 90 km/h",
    "broken_field": "broken field: light is missing everywhere",
    "coordinate_units": "unit error: the decimal mark of coordinates slips by one place",
    "severity_shift": "severity shift: the same accidents, 0.6 more in log-odds",
}
ROWS: Mapping[str, str] = {
    "none": "**nothing: false alarms**",
    **CHANGES,
    MONTHS: "nothing, but each window is of one month",
    SUNNY: "the same with `drift.ignore: [weather, surface]`",
}
SCARCE = ("lockdown", MONTHS, SUNNY)  # there are not 10,000 accidents to draw from
WITHOUT_LABELS = ("missing", "features", "predictions")


def run(options: Options) -> Outcome:
    """Draws of a quiet year, then of the same year with each change; then real years."""
    accidents = 6_000 if options.quick else 60_000
    sizes = {SIZE: 4} if options.quick else SIZES
    asked = [(row, size) for row in ROWS for size in sizes if size <= SIZE or row not in SCARCE]
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # or two processes that train spin against each other
    # Not forked: LightGBM's threads do not survive that, and the child waits for them for ever.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        counts = {
            (row, size): draw(processes, row, size, sizes[size], accidents)
            for row, size in track(asked, "windows")
        }
    shown = {key: _shown(count, sizes[key[1]]) for key, count in counts.items()}
    rows = [(title, *(shown.get((row, size), "") for size in sizes)) for row, title in ROWS.items()]
    head = ("what changed", *(f"{size:,} accidents" for size in sizes))
    body = "\n\n".join([table(head, rows), *real_sections(options)])
    return Outcome(about=_about(accidents, sizes[SIZE]), figures=_figures(counts, sizes[SIZE]), body=body)


def draw(processes: Executor, row: str, size: int, draws: int, accidents: int) -> Counter[str]:
    """How often each kind fired, and how often anything did ("found"), over so many windows."""
    seeds = [list(range(start, draws, 2)) for start in (0, 1)]
    parts = processes.map(_draw_some, [row] * 2, [size] * 2, seeds, [accidents] * 2)
    return sum(parts, Counter[str]())


def _draw_some(row: str, size: int, seeds: Sequence[int], accidents: int) -> Counter[str]:
    rows, champion, count = pool(row, accidents), watched(accidents), Counter[str]()
    for seed in seeds:
        decision = champion.verdict(draw_window(rows, row, size, seed), validator(), row)
        count.update(decision.firing)
        count["found"] += decision.action != "keep"
        count["without labels"] += bool(set(WITHOUT_LABELS) & set(decision.firing))
    return count


def _about(accidents: int, draws: int) -> str:
    return (
        f"The deployed model is refitted on the sample's 2021 and half of 2022's {accidents:,} accidents, on "
        f"which the model of 2021 was judged; drift is against 2021. {draws} windows of {SIZE:,} accidents "
        "are drawn from the other half, and each judged by the policy of params.yaml as a first window: "
        "found is any decision but `keep`. Then with a change planted in the year; a lockdown's windows are "
        "of its three months. In brackets: what found it. All accidents have labels."
    )


def _shown(count: Counter[str], draws: int) -> str:
    kinds = [kind for kind, _ in count.most_common() if kind in (*WITHOUT_LABELS, "performance")]
    words = ", ".join(f"{kind} {count[kind] / draws:.1%}" for kind in kinds)
    return f"{count['found'] / draws:.1%}" + (f" ({words})" if words else "")


def _figures(counts: Mapping[tuple[str, int], Counter[str]], draws: int) -> tuple[Figure, ...]:
    quiet = counts["none", SIZE]["found"] / draws
    figures = [
        Figure(what=f"False alarms, {draws} windows of {SIZE:,} accidents of a quiet year",
               target=f"at most {MOST_FALSE:.0%}", figure=f"{quiet:.1%}", met=quiet <= MOST_FALSE)
    ]  # fmt: skip
    for change, title in CHANGES.items():
        power = counts[change, SIZE]["found"] / draws
        figures.append(
            Figure(what=f"Found: {title}", target=f"at least {LEAST_POWER:.0%}", figure=f"{power:.1%}",
                   met=power >= LEAST_POWER)
        )  # fmt: skip
    others = counts["severity_shift", SIZE]["without labels"] / draws
    figures.append(
        Figure(what="Severity shift found by anything but labels", target=f"at most {MOST_FALSE:.0%}",
               figure=f"{others:.1%}", met=others <= MOST_FALSE)
    )  # fmt: skip
    return tuple(figures)
