"""The year of an accident, where its id, its date, the file's name and the folder's do not agree."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from accidents.data.dataset import layout
from accidents.data.quality import QualityReport
from accidents.data.reading import read_year, read_years
from accidents.data.sources.settings import DataSettings
from accidents.data.sources.year_files import find_years
from accidents.errors import DataError
from accidents.scoring.batch import read_input
from tests.accidents.raw_year import RawYear

SAY = "of another year than caracteristiques_2016.csv says, by accident id and date, which are kept"


def with_first(year: int, an: str, ids: str, accidents: int = 5) -> RawYear:
    """A year of 2016 whose first accident says otherwise."""
    raw = RawYear(2016, accidents)
    for table in raw.rows:
        raw.set(table, "Num_Acc", f"{ids}00000001")
    return raw.set("caracteristiques", "an", an) if an != "none" else raw.drop("caracteristiques", "an")


@pytest.mark.parametrize(
    ("an", "ids", "year", "warned", "repaired"),
    [
        ("16", "2016", 2016, 0, 0),
        ("15", "2015", 2015, 1, 0),
        ("2015", "2015", 2015, 1, 0),
        ("15", "2016", 2016, 0, 1),
        ("16", "2015", 2016, 0, 0),
        ("14", "2015", 2015, 1, 1),
        ("", "2015", 2015, 1, 0),
        ("none", "2015", 2015, 1, 0),
        ("?", "2015", 2015, 1, 0),
        ("5", "2005", 2005, 1, 0),
    ],
)
def test_what_two_of_three_say_is_the_year(
    tmp_path: Path, an: str, ids: str, year: int, warned: int, repaired: int
) -> None:
    tables, report = with_first(2016, an, ids).read(tmp_path)
    assert tables.accidents["year"].tolist() == [year, 2016, 2016, 2016, 2016]
    assert report.count(column="year", rule=SAY, action="warned") == warned
    assert report.count(column="year", action="repaired") == repaired
    assert len(report.warnings()) == warned


def test_a_day_is_looked_up_in_the_calendar_of_its_own_year(tmp_path: Path) -> None:
    raw = with_first(2016, "15", "2015").set("caracteristiques", "mois", "2", "2", "4")
    tables, _ = raw.set("caracteristiques", "jour", "29", "29", "31").read(tmp_path)
    assert tables.accidents["day"].tolist()[:3] == [pd.NA, 29, pd.NA]


def test_a_file_of_several_other_years_is_read_row_by_row(tmp_path: Path) -> None:
    raw = RawYear(2016, 6)
    for table in raw.rows:
        raw.set(table, "Num_Acc", *(f"{year}0000000{year % 10}" for year in (2011, 2012, 2013, 2014)))
    tables, report = raw.set("caracteristiques", "an", "11", "12", "13", "14").read(tmp_path)
    assert tables.accidents["year"].tolist() == [2011, 2012, 2013, 2014, 2016, 2016]
    assert report.count(rule=SAY) == 4


@pytest.mark.parametrize("dates", [["15"] * 3, ["14"] * 3, ["", "", ""]])
def test_a_file_that_is_mostly_of_one_other_year_is_refused(tmp_path: Path, dates: list[str]) -> None:
    raw = RawYear(2016, 5)
    for table in raw.rows:
        raw.set(table, "Num_Acc", *(f"20150000000{at}" for at in (1, 2, 3)))
    with pytest.raises(DataError, match=r"of 2015, but the file name says 2016\. Rename"):
        raw.set("caracteristiques", "an", *dates).read(tmp_path)


@pytest.mark.parametrize("apart", [2, 3, 5])
@pytest.mark.parametrize(("ids", "an"), [("2016", "15"), ("2015", "16")], ids=["date alone", "ids alone"])
def test_what_two_of_three_say_is_the_year_however_many_accidents_the_third_is_wrong_for(
    tmp_path: Path, ids: str, an: str, apart: int
) -> None:
    raw = RawYear(2016, 5)
    for table in raw.rows:
        raw.set(table, "Num_Acc", *(f"{ids}0000000{at + 1}" for at in range(apart)))
    tables, report = raw.set("caracteristiques", "an", *[an] * apart).read(tmp_path)
    assert tables.accidents["year"].tolist() == [2016] * 5
    assert [len(each) for each in (tables.places, tables.vehicles, tables.users)] == [5] * 3
    assert report.count(column="year", action="repaired") == (apart if an == "15" else 0)
    said = report.count(table="accidents", rule="accident id of another year", action="noted")
    assert said == (apart if ids == "2015" else 0)


def test_batch_scoring_says_that_the_name_disagrees(tmp_path: Path) -> None:
    with_first(2016, "15", "2015").write(tmp_path)
    intake = read_input(str(tmp_path), DataSettings())
    assert intake.facts["warnings"] == [f"2016: {SAY}: 1 of 5 (caracteristiques_2016.csv, line 2: '15')."]
    assert intake.tables.accidents["year"].tolist()[0] == 2015


def test_a_folder_of_another_year_than_its_files_is_said(tmp_path: Path) -> None:
    (tmp_path / "2015").mkdir()
    RawYear(2016).write(tmp_path / "2015")
    _, report = read_years(find_years(tmp_path))
    assert report.warnings() == [
        "2016: file in a folder that is called after another year; the file's name is taken: 4 of 4 "
        "(2015/caracteristiques_2016.csv)."
    ]


def test_an_accident_in_two_years_files_is_read_once(tmp_path: Path) -> None:
    RawYear(2015).write(tmp_path)
    raw = RawYear(2016, 5)
    for table in raw.rows:
        raw.set(table, "Num_Acc", "201500000001")
    raw.set("caracteristiques", "an", "15").write(tmp_path)
    tables, report = read_years(find_years(tmp_path))
    tables.validate()
    assert [len(getattr(tables, each)) for each in ("accidents", "places", "vehicles", "users")] == [7] * 4
    assert report.count(rule="also in the files of another year, which are read", action="dropped") == 1


def zip_of(path: Path, *files: Path, name: str = "") -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, name or file.name)
            file.unlink()


def tables_of(folder: Path) -> list[int]:
    tables, _ = read_years(find_years(folder))
    return [len(getattr(tables, each)) for each in ("accidents", "places", "vehicles", "users")]


def test_a_zipped_table_is_read_under_any_inner_name(tmp_path: Path) -> None:
    files = RawYear(2021).write(tmp_path)
    assert files.usagers is not None
    zip_of(tmp_path / "usagers-2021.csv.zip", files.usagers, name="export.csv")
    assert tables_of(tmp_path) == [3, 3, 3, 3]


def test_an_archive_of_several_years_is_read_and_versioned_once(tmp_path: Path) -> None:
    files = [*RawYear(2021).write(tmp_path).paths.values(), *RawYear(2013).write(tmp_path).paths.values()]
    zip_of(tmp_path / "all.zip", *files)
    years = find_years(tmp_path)
    assert list(years) == [2013, 2021]
    assert tables_of(tmp_path) == [6, 6, 6, 6]
    assert list(layout(years)) == ["2013/all.zip"]
    assert all(one.unused == () for one in years.values())


def test_an_archive_beside_its_unpacked_files_is_not_read_and_said(tmp_path: Path) -> None:
    files = RawYear(2021).write(tmp_path)
    content = {path: path.read_bytes() for path in files.paths.values()}
    zip_of(tmp_path / "2021.zip", *content)
    for path, data in content.items():
        path.write_bytes(data)
    (tmp_path / "broken.zip").write_bytes(b"PK")
    (tmp_path / "usagers-2021 (1).csv").write_bytes(b"x")
    (tmp_path / "notes.md").write_bytes(b"x")
    _, report = read_years(find_years(tmp_path))
    assert report.warnings() == [
        "2021: files whose names are no published table's, not read: 3 of 7 "
        "(2021.zip, broken.zip, usagers-2021 (1).csv)."
    ]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("usagers-2021.csv.bz2", True), ("usagers-2021.csv.xz", True), ("Usagers 2021.txt", True),
        ("lieux-2021.csv.old", True), ("vehicules-immatricules-baac-2021.csv", True), ("2021.tar.gz", True),
        (".usagers-2021.csv.swp", False), ("usagers-2021.csv.dvc", False), ("SYNTHETIC.txt", False),
    ],
)  # fmt: skip
def test_what_looks_like_a_table_and_is_not_read_is_said(tmp_path: Path, name: str, told: bool) -> None:
    files = RawYear(2021).write(tmp_path)
    assert files.usagers is not None
    if name.startswith("usagers-2021.csv."):
        files.usagers.unlink()
    (tmp_path / name).write_bytes(b"x")
    assert any(name in warning for warning in read_years(find_years(tmp_path))[1].warnings()) == told


@pytest.mark.parametrize("table", ["caracteristiques", "lieux", "vehicules", "usagers"])
@pytest.mark.parametrize("other", ["caracteristiques", "lieux", "vehicules", "usagers"])
def test_a_table_is_known_by_its_columns(tmp_path: Path, table: str, other: str) -> None:
    files = RawYear(2021).write(tmp_path)
    if table != other:
        files.paths[table].write_bytes(files.paths[other].read_bytes())
        with pytest.raises(DataError, match=f"not the columns of {table}; it looks like {other}"):
            read_year(files)
    else:
        read_year(files)


def test_no_count_is_of_more_than_there_are(tmp_path: Path) -> None:
    raw = RawYear(2021, 4)
    raw.rows["lieux"], raw.rows["vehicules"] = raw.rows["lieux"][:1], raw.rows["vehicules"][:1]
    _, report = raw.read(tmp_path)
    frame = report.to_frame()
    assert (frame["count"] <= frame["rows"]).all()
    found = frame[frame["rule"] == "accident without a row"]
    assert found[["count", "rows"]].to_numpy().tolist() == [[3, 4], [3, 4]]
    with pytest.raises(ValueError, match="5 of 4 cannot be"):
        QualityReport().add(2021, "users", "", "x", "noted", rows=4, count=5)
