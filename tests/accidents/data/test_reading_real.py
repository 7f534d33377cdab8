"""The real files come out with the counts that are known of them."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from accidents.data.quality import QualityReport
from accidents.data.reading import read_year, read_years
from accidents.data.sources.year_files import YearFiles, find_years
from accidents.data.tables import Tables

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def years(baac: Path) -> dict[int, YearFiles]:
    return find_years(baac)


@pytest.fixture(scope="module")
def y2018(years: dict[int, YearFiles]) -> tuple[Tables, QualityReport]:
    return read_year(years[2018])


def severe_share(tables: Tables) -> float:
    severe = tables.users["severity"].isin([2, 3]).groupby(tables.users["accident_id"]).any()
    return float(severe.mean())


def test_row_counts_are_those_that_are_known(baac: Path, y2018: tuple[Tables, QualityReport]) -> None:
    known = yaml.safe_load((baac / "codes.yaml").read_text(encoding="utf-8"))["files"]["rows"]
    tables, report = y2018
    assert len(tables.accidents) == len(tables.places) == known["accidents"][2018]
    assert len(tables.vehicles) == known["vehicules"][2018]
    assert len(tables.users) == known["usagers"][2018]
    assert report.count(action="dropped") == 0


def test_38_7_percent_of_accidents_of_2018_are_severe(y2018: tuple[Tables, QualityReport]) -> None:
    assert round(severe_share(y2018[0]), 3) == 0.387


def test_2018_keeps_what_its_files_hold(y2018: tuple[Tables, QualityReport]) -> None:
    tables, report = y2018
    assert tables.accidents["light"].value_counts().to_dict() == {1: 38701, 5: 9094, 3: 5574, 2: 3839, 4: 575}
    assert tables.accidents["weather"].isna().sum() == 5
    assert tables.vehicles["category"].eq(7).sum() == 60384
    assert tables.users["severity"].value_counts().to_dict() == {1: 54248, 4: 50360, 3: 22169, 2: 3392}
    assert tables.accidents["department"].isna().all()
    assert tables.places["position"].isna().all()
    assert report.count(column="position", action="blanked") == 57783 - 494


def test_overseas_signs_of_2018_are_repaired(y2018: tuple[Tables, QualityReport]) -> None:
    tables, report = y2018
    accidents = tables.accidents
    assert report.count(rule="sign lost overseas") > 1800
    reunion = accidents["latitude"].between(-21.6, -20.7) & accidents["longitude"].between(55, 56)
    assert reunion.sum() > 500
    assert accidents["latitude"].notna().mean() > 0.96


def test_2013_has_places_and_no_users(years: dict[int, YearFiles]) -> None:
    tables, report = read_year(years[2013])
    assert [len(tables.accidents), len(tables.vehicles), len(tables.users)] == [58397, 98925, 0]
    assert tables.accidents["department"].nunique() == 101
    assert tables.accidents["department"].isna().sum() == 0
    assert tables.accidents["commune"].str.len().eq(5).all()
    assert tables.accidents["department"].eq("75").sum() == 6670
    assert report.count(rule="0 is unknown") == 8128
    assert report.count(action="dropped") == 0
    assert 5.5 < tables.places["road_width"].median() < 8


@pytest.mark.parametrize(
    ("year", "rows"),
    [
        (2016, [2237, 3640, 4998]),
        (2019, [27, 46, 58]),
        (2020, [23, 45, 54]),
        (2021, [28, 43, 59]),
        (2022, [22, 33, 49]),
    ],
)
def test_heads_of_other_years(years: dict[int, YearFiles], year: int, rows: list[int]) -> None:
    tables, report = read_year(years[year])
    tables.validate()
    assert [len(tables.accidents), len(tables.vehicles), len(tables.users)] == rows
    assert tables.accidents[["department", "commune", "hour", "day"]].notna().all().all()
    assert tables.users["severity"].notna().all()
    assert report.count(action="blanked") == report.count(action="dropped") == 0
    assert tables.places["speed_limit"].notna().any() == (year >= 2019)


def test_all_years_read_into_one_set_of_tables(years: dict[int, YearFiles]) -> None:
    tables, _ = read_years(years)
    tables.validate()
    assert len(tables.accidents) == 58397 + 2237 + 57783 + 27 + 23 + 28 + 22


def test_reading_takes_no_longer_than_a_few_plain_reads(years: dict[int, YearFiles]) -> None:
    """The measured ratio is about 1; 2.5 leaves room for a busy machine."""

    def plain() -> None:
        for path in years[2018].paths.values():
            pd.read_csv(path, low_memory=False)

    def seconds(work: object) -> float:
        start = time.perf_counter()
        work()  # type: ignore[operator]
        return time.perf_counter() - start

    ratios = [seconds(lambda: read_year(years[2018])) / seconds(plain) for _ in range(5)]
    assert min(ratios) < 2.5
