"""From raw files to features: beside plain pandas, and 20 years beside one."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accidents.data.sources.year_files import YearFiles, find_years
from accidents.progress import track
from benchmarks.options import FULL_YEAR, REAL_2018, Options, sample
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.separate_process import measure

TITLE = "Preparing data"
TIMES_PANDAS = 3.0
TIMES_YEARS = 1.1  # 20 years may take 22 times one
MOST_GIB = 3.0
ERAS = (2010, 2018, 2022)  # shown: a year of each form of the files


def run(options: Options) -> Outcome:
    """Measure both."""
    repeats, accidents = (2, 2_000) if options.quick else (7, FULL_YEAR)
    years = ERAS if options.quick else tuple(range(2005, 2025))
    beside, which, beside_rows = _beside_pandas(options, repeats)
    many, many_rows = _years(years, accidents)
    about = (
        f"Reading, checking and features (dispatch) of {which}, against `pandas.read_csv` of the same four "
        f"gzipped files: in turn, in one process, medians of {repeats}. Then {len(years)} sample years of "
        f"{accidents:,} accidents, two at a time on both cores, against the mean of each alone, in fresh "
        "processes."
    )
    body = table(("step", "seconds", "peak GiB"), beside_rows + many_rows)
    return Outcome(about=about, figures=(beside, *many), body=body)


def _beside_pandas(options: Options, repeats: int) -> tuple[Figure, str, list[tuple[str, ...]]]:
    folder, which = options.real(2018), f"real 2018 ({REAL_2018:,} accidents)"
    if folder is None:
        accidents = 2_000 if options.quick else REAL_2018
        folder, which = (
            sample((2018,), accidents),
            f"the sample's 2018 ({accidents:,} accidents; no real files here)",
        )
    call = measure("benchmarks.prepare:side_by_side", folder=str(folder), year=2018, repeats=repeats)
    ours, plain = (statistics.median(call.result[name]) for name in ("ours", "pandas"))
    figure = Figure(
        what=f"Preparing {which.split(' (')[0]}, against plain `pandas.read_csv`",
        target=f"at most {TIMES_PANDAS:g} times",
        figure=f"{ours / plain:.2f} times",
        met=ours / plain <= TIMES_PANDAS,
    )
    rows: list[tuple[str, ...]] = [
        ("pandas.read_csv", f"{plain:.2f}", ""),
        ("read, check, features", f"{ours:.2f}", f"{call.peak_gib:.2f}"),
    ]
    return figure, which, rows


def _years(years: tuple[int, ...], accidents: int) -> tuple[list[Figure], list[tuple[str, ...]]]:
    folder = str(sample(years, accidents))
    alone = {
        year: measure("benchmarks.prepare:prepare_years", folder=folder, years=[year])
        for year in track(years, "one year in a fresh process")
    }
    single = statistics.mean(each.result["seconds"] for each in alone.values())
    all_of_them = measure("benchmarks.prepare:prepare_years", folder=folder, years=list(years))
    seconds, peak = all_of_them.result["seconds"], all_of_them.peak_gib
    most = TIMES_YEARS * len(years)
    figures = [
        Figure(
            what=f"{len(years)} sample years against one",
            target=f"at most {most:g} times",
            figure=f"{seconds / single:.1f} times",
            met=seconds / single <= most,
        ),
        Figure(
            what=f"Peak memory of preparing {len(years)} sample years",
            target=f"at most {MOST_GIB:g} GiB",
            figure=f"{peak:.2f} GiB",
            met=peak <= MOST_GIB,
        ),
    ]
    rows: list[tuple[str, ...]] = [
        (f"sample {year}", f"{alone[year].result['seconds']:.2f}", f"{alone[year].peak_gib:.2f}")
        for year in ERAS
    ]
    rows.append((f"one sample year, mean of {len(years)}", f"{single:.2f}", ""))
    total = all_of_them.result["accidents"]
    return figures, [
        *rows,
        (f"{len(years)} sample years, {total:,} accidents", f"{seconds:.1f}", f"{peak:.2f}"),
    ]


def side_by_side(folder: str, year: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of each preparation and each plain reading of a year, in turn."""
    files = find_years(Path(folder))[year]
    work: dict[str, Callable[[], Any]] = {"pandas": lambda: plain(files), "ours": lambda: prepare([files])}
    for each in work.values():
        each()
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in track(range(repeats), "beside pandas"):
        for name, each in work.items():
            started = time.perf_counter()
            each()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def prepare_years(folder: str, years: list[int]) -> dict[str, float]:
    """Seconds of preparing the years together, and how many accidents they have."""
    years_files = find_years(Path(folder))
    prepare([years_files[years[0]]])  # imports and code tables are not what is measured
    started = time.perf_counter()
    accidents = prepare([years_files[year] for year in years])
    return {"seconds": time.perf_counter() - started, "accidents": accidents}


def prepare(years: list[YearFiles]) -> int:
    """Read, check and compute features; how many accidents there are."""
    from accidents.data.reading import read_years
    from accidents.features import build_features

    tables, _ = read_years({files.year: files for files in years})
    return len(build_features(tables, "dispatch"))


def plain(files: YearFiles) -> int:
    """Do what a newcomer would write; return how many rows there are."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)
        return sum(len(pd.read_csv(path, encoding="latin-1")) for path in files.paths.values())
