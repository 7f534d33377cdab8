"""Drift between real years, as far as their files are here."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from accidents.data.reading import read_years
from accidents.data.sources.year_files import find_years
from accidents.features import build_features
from accidents.progress import track
from benchmarks.drift_windows import POLICY, kinds, validator
from benchmarks.options import Options
from benchmarks.results_page import table

SAMPLE_50K = Path("processed") / "2005-2019_users_sample_50k.csv.gz"
REFERENCE, WINDOW, DRAWS = 20_000, 2_000, 200
_ACCIDENT = {"num_acc": "Num_Acc", "annee": "an", "mois": "mois", "jour": "jour", "lum": "lum", "agg": "agg",
             "int": "int", "atm": "atm", "col": "col", "com": "com", "dep": "dep"}  # fmt: skip
_PLACE = {"num_acc": "Num_Acc", "catr": "catr", "circ": "circ", "nbv": "nbv", "prof": "prof", "plan": "plan",
          "surf": "surf", "situ": "situ"}  # fmt: skip


def real_sections(options: Options) -> list[str]:
    """Markdown about the real years that are here; nothing for those that are not."""
    sections = []
    if options.real(2013) and options.real(2018):
        years = {year: _features(options.must_have(year)) for year in (2013, 2018)}
        sections += [_two_years(years), _within(years[2018], 10 if options.quick else DRAWS)]
    if (options.baac / SAMPLE_50K).exists():
        sections.append(_year_by_year(options.baac / SAMPLE_50K))
    return sections


def _features(folder: Path) -> pd.DataFrame:
    tables, _ = read_years(find_years(folder))
    return build_features(tables.validate(), "dispatch")


def _compared(window: pd.DataFrame, reference: pd.DataFrame) -> Any:
    return validator().data_validation(window, reference, **kinds(), page=False)


def _drifted(result: Any) -> list[Any]:
    """Return the drifted features that a decision would look at."""
    return [
        column for column in result.columns if column.drifted and column.column not in POLICY.drift.ignore
    ]


def _two_years(years: Mapping[int, pd.DataFrame]) -> str:
    result = _compared(years[2018], years[2013])
    moved = sorted(_drifted(result), key=lambda column: -(column.statistic or 0))
    rows = [
        (each.column, each.method or "", f"{each.statistic:.3f}" if each.statistic is not None else "",
         f"{each.missing_reference:.1%}", f"{each.missing_current:.1%}")
        for each in moved
    ]  # fmt: skip
    head = ("feature", "distance", "figure", "not stated in 2013", "in 2018")
    return (
        f"**Real 2018 ({len(years[2018]):,} accidents) against real 2013 ({len(years[2013]):,}).** "
        f"{len(moved)} of {result.compared} comparable features have drifted; absent from one of the two "
        f"here: {len(result.not_comparable)}.\n\n" + table(head, rows)
    )


def _within(rows: pd.DataFrame, draws: int) -> str:
    """Count false alarms on a real year, of features and missing values: they need no champion."""
    mixed = rows.sample(frac=1, random_state=7).reset_index(drop=True)
    reference, rest = mixed[:REFERENCE], mixed[REFERENCE:]
    alarms = 0
    for seed in track(range(draws), "windows of real 2018"):
        window = rest.sample(WINDOW, random_state=seed)
        alarms += bool(_drifted(_compared(window, reference)))
    return (
        f"**Within real 2018.** {draws} windows of {WINDOW:,} accidents against {REFERENCE:,} others of the "
        f"same year: {alarms / draws:.1%} with any feature drifted."
    )


def _year_by_year(path: Path) -> str:
    """Each year of the sample of joined user rows against the year before, one row an accident."""
    years = _years_of_users(path)
    rows = []
    for before, now in pairwise(sorted(years)):
        result = _compared(years[now], years[before])
        names = ", ".join(column.column for column in _drifted(result))
        rows.append((str(now), f"{len(years[now]):,}", str(result.compared), names or "none"))
    head = ("year", "accidents", "compared", "drifted against the year before")
    return (
        "**Real years, each against the year before**, from a published sample of 50,000 joined user rows: "
        "one row an accident (more often those with many people, in every year), read as accidents and "
        "places, without what vehicles and users tell.\n\n" + table(head, rows)
    )


def _years_of_users(path: Path) -> dict[int, pd.DataFrame]:
    users = pd.read_csv(path, dtype=str, keep_default_na=False)
    accidents = users.drop_duplicates("num_acc")
    with tempfile.TemporaryDirectory(prefix="users-") as folder:
        for year, rows in accidents.groupby("annee"):
            _write(Path(folder) / str(year), str(year), rows)
        tables, _ = read_years(find_years(Path(folder)))
    features = build_features(tables.validate(), "dispatch")
    return {int(str(year)): rows.reset_index(drop=True) for year, rows in features.groupby("year")}


def _write(folder: Path, year: str, rows: pd.DataFrame) -> None:
    """Write the columns there are, under their published names, as published that year."""
    separator = ";" if int(year) >= 2019 else ","
    folder.mkdir()
    accident = rows[list(_ACCIDENT)].rename(columns=_ACCIDENT).assign(
        hrmn=[f"{int(float(h)):02}{int(float(m)):02}" for h, m in zip(rows["hr"], rows["mn"], strict=True)]
    )  # fmt: skip
    if int(year) < 2019:
        accident["an"] = accident["an"].str[-2:]
    place = rows[list(_PLACE)].rename(columns=_PLACE)
    for name, frame in (("caracteristiques", accident), ("lieux", place)):
        frame = frame.replace(r"\.0$", "", regex=True)
        joint = "-" if int(year) >= 2017 else "_"
        frame.to_csv(folder / f"{name}{joint}{year}.csv", sep=separator, index=False)
