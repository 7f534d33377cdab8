"""Bad files are refused by name, line and remedy; bad rows are counted. No stack trace, no silence."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pandas as pd
import pytest

from accidents.data.reading import read_year, read_years
from accidents.data.sources.year_files import YearFiles
from accidents.errors import DataError
from tests.accidents.raw_year import RawYear


def spoil(folder: Path, content: bytes, year: int = 2021) -> YearFiles:
    """A good year whose lieux file holds `content`."""
    files = RawYear(year).write(folder)
    assert files.lieux is not None
    files.lieux.write_bytes(content)
    return files


# ruff: noqa: E501 - a case a line reads best
GOOD = RawYear(2021).text("lieux").encode()
HEADER, *ROWS = GOOD.splitlines()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"lieux-2021\.csv: the file is empty\. Download"),
        (b"\xef\xbb\xbf\r\n \r\n", r"the file is empty"),
        (HEADER, r"has a header line and no rows\. Download"),
        (HEADER + b"\r\n\r\n", r"has a header line and no rows"),
        (HEADER + b"\n\xc2\xa0\n \n\x1f\n", r"has a header line and no rows"),
        (b"<!DOCTYPE html><html><body>404</body></html>", r"is not CSV but a web page"),
        (b"\n  <html>", r"is not CSV but a web page"),
        (b"PK\x03\x04rest", r"an archive or an office document"),
        (GOOD.decode().encode("utf-16"), r"is not text in UTF-8 or Latin-1, perhaps UTF-16\. Download the file again"),
        (GOOD.replace(b";", b" "), r"line 1: the key column Num_Acc is missing; the line reads 'Num_Acc catr"),
        (GOOD.replace(b"Num_Acc", b"Numero"), r"line 1: the key column Num_Acc is missing.*named as published"),
        (b"\n".join(ROWS), r"line 1: there is no header line"),
        (GOOD.replace(b"Num_Acc;catr", b"Num_Acc;NUM_ACC"), r"header: two columns are Num_Acc \(the second is column 2\)"),
        (b"Num_Acc;x\n202100000001;1\n", r"header: these are not the columns of lieux\. Give each file"),
        (RawYear(2021).text("usagers").encode(), r"not the columns of lieux; it looks like usagers"),
        (GOOD[:-20], r"line 4, the last, has \d+ fields where the header has 18: the file is cut short"),
        (GOOD.replace(b"202100000002;3", b"202100000002;3;3"), r"line 3 has 19 fields where the header has 18"),
        (HEADER + b"\n" + b"\n".join(ROWS).replace(b";", b","), r"line 4, the last, has 1 fields"),
        (GOOD.replace(b'00001;3;39;', b'00001;3;"39;'), r"line 2: a quotation mark is opened and not closed"),
        (GOOD.replace(b";39;", b';"39;'), r"line 2: a quotation mark is opened and not closed"),
        (GOOD.replace(b'00002;3;39;', b'00002;3;"' + b"9" * 200_000 + b';'), r"line 3: a cell has more than 131,072"),
        (GOOD.replace(b"202100000002", b"2,021E+11"), r"line 3, column Num_Acc: '2,021E\+11' is not an accident id"),
        (GOOD.replace(b"202100000003", b""), r"line 4, column Num_Acc: '' is not an accident id.*spreadsheet"),
        (GOOD.replace(b"2021000", b"2020000"), r"line 2, column Num_Acc: the accidents are of 2020.*name says 2021"),
        (gzip.compress(GOOD, mtime=0)[:-9], r"cannot be read \(.*cut short or damaged\. Download"),
        (gzip.compress(GOOD, mtime=0)[:20] + b"\0" * 40, r"cannot be read \(.*cut short or damaged"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_it_claims_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_year(spoil(tmp_path, content))
    assert str(tmp_path / "lieux-2021.csv") in str(caught.value)


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    files = RawYear(2021).write(tmp_path)
    assert files.lieux is not None
    files.lieux.unlink()
    with pytest.raises(DataError, match=r"lieux-2021\.csv: cannot be read"):
        read_year(files)


def test_a_single_wrong_year_is_put_right(tmp_path: Path) -> None:
    tables, report = RawYear(2013).set("caracteristiques", "an", "12").read(tmp_path)
    assert tables.accidents["year"].tolist() == [2013] * 3
    assert report.count(column="year", action="repaired") == 1


def test_an_accident_of_another_year_is_noted(tmp_path: Path) -> None:
    raw = RawYear(2021)
    for table in raw.rows:
        raw.set(table, "Num_Acc", "202000000001")
    tables, report = raw.read(tmp_path)
    assert len(tables.accidents) == 3
    assert report.count(table="accidents", rule="accident id of another year", action="noted") == 1


def test_no_years_or_no_files_are_refused() -> None:
    with pytest.raises(DataError, match="no years to read"):
        read_years({})
    with pytest.raises(DataError, match="2021: there is no file of this year"):
        read_year(YearFiles(2021))


def test_missing_and_unknown_columns_are_noted(tmp_path: Path) -> None:
    raw = RawYear(2021).drop("lieux", "surf").drop("caracteristiques", "lat", "hrmn")
    for row in raw.rows["lieux"]:
        row["humeur"] = "1"
    tables, report = raw.read(tmp_path)
    assert tables.places["surface"].isna().all()
    assert tables.accidents[["latitude", "longitude", "hour", "minute"]].isna().all().all()
    frame = report.to_frame()
    absent = frame[frame["rule"] == "column is not in the file"]
    assert sorted(absent["column"]) == ["latitude", "surface", "time"]
    assert absent["count"].tolist() == [3, 3, 3]
    assert frame[frame["rule"] == "unknown column, not read"]["column"].tolist() == ["humeur"]


@pytest.mark.parametrize("table", ["caracteristiques", "lieux", "vehicules", "usagers"])
def test_a_missing_table_is_noted(tmp_path: Path, table: str) -> None:
    tables, report = RawYear(2013).drop(table).read(tmp_path)
    assert tables.accidents["accident_id"].tolist() == [201300000001, 201300000002, 201300000003]
    assert tables.places["accident_id"].equals(tables.accidents["accident_id"])
    assert report.count(rule="there is no file of this table", action="noted") == 1


@pytest.mark.parametrize(
    ("table", "raw", "cell", "column", "rule"),
    [
        ("caracteristiques", "lum", "9", "light", "not in the code list"),
        ("caracteristiques", "lum", "day", "light", "not in the code list"),
        ("caracteristiques", "hrmn", "27:10", "time", "not a time"),
        ("caracteristiques", "dep", "96", "department", "not in the code list"),
        ("caracteristiques", "com", "Lille", "commune", "not a commune code"),
        ("lieux", "nbv", "50", "lanes", "not between 1 and 19"),
        ("lieux", "nbv", "two", "lanes", "not a whole number"),
        ("lieux", "larrout", "800", "road_width", "not between 0.1 and 100 m"),
        ("vehicules", "catv", "77", "category", "not in the code list"),
        ("usagers", "grav", "5", "severity", "not in the code list"),
        ("usagers", "an_nais", "1800", "birth_year", "age not between 0 and 110"),
    ],
)
def test_impossible_values_are_blanked_and_named(
    tmp_path: Path, table: str, raw: str, cell: str, column: str, rule: str
) -> None:
    files = RawYear(2021).set(table, raw, "-1", cell).write(tmp_path)
    _, report = read_year(files)
    found = report.to_frame().query("action == 'blanked'")
    assert found[["column", "rule", "count", "rows"]].to_numpy().tolist() == [[column, rule, 1, 3]]
    assert found["example"].iloc[0] == f"{files.paths[table].name}, line 3: {cell!r}"


def many(rows: int = 2000) -> RawYear:
    return RawYear(2021, rows)


def test_a_few_broken_rows_among_many_are_dropped_and_counted(tmp_path: Path) -> None:
    files = many().write(tmp_path)
    assert files.vehicules is not None
    text = files.vehicules.read_text(encoding="utf-8").replace("202100000007;", "202100000007;;")
    files.vehicules.write_text(text.replace("202100000009;", "?;"), encoding="utf-8")
    tables, report = read_year(files)
    assert len(tables.vehicles) == 1998
    frame = report.to_frame().query("action == 'dropped'").set_index("rule")
    assert frame["count"].to_dict() == {"row with another number of fields": 1, "no accident id": 1}
    assert frame.loc["row with another number of fields", "example"] == "vehicules-2021.csv, line 8"
    assert frame.loc["no accident id", "example"] == "vehicules-2021.csv, line 10: '?'"
    assert report.count(table="vehicles", rule="accident without a row") == 2


def test_blank_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    files = RawYear(2021).write(tmp_path)
    assert files.usagers is not None
    files.usagers.write_text(
        files.usagers.read_text(encoding="utf-8") + ";" * 15 + "\n" + ";" * 15, encoding="utf-8"
    )
    tables, report = read_year(files)
    assert len(tables.users) == 3
    assert report.count(table="users", rule="blank row", action="dropped") == 2


def test_rows_of_unknown_accidents_are_dropped_and_counted(tmp_path: Path) -> None:
    raw = RawYear(2021)
    for table in ("lieux", "vehicules", "usagers"):
        raw.set(table, "Num_Acc", "202100000099")
    tables, report = raw.read(tmp_path)
    assert [len(tables.vehicles), len(tables.users)] == [2, 2]
    assert report.count(rule="its accident is not in caracteristiques", action="dropped") == 3
    assert report.count(rule="accident without a row", action="noted") == 3
    assert pd.isna(tables.places["surface"][0])
    assert tables.places["surface"][1] == 1
    example = report.to_frame().query("action == 'dropped'")["example"].iloc[0]
    assert example == "accident 202100000099"


def test_copied_accidents_are_dropped_and_counted(tmp_path: Path) -> None:
    raw = RawYear(2021)
    for rows in raw.rows.values():
        rows += [dict(row) for row in rows]
    tables, report = raw.read(tmp_path)
    assert [len(getattr(tables, each)) for each in ("accidents", "places", "vehicles", "users")] == [3] * 4
    assert report.count(rule="copy of another row", action="dropped") == 12
    assert report.count(action="dropped") == 12


def test_of_contradicting_rows_the_first_is_kept(tmp_path: Path) -> None:
    raw = RawYear(2021)
    for table, column in (("caracteristiques", "lum"), ("vehicules", "catv"), ("usagers", "grav")):
        raw.rows[table].append(raw.rows[table][0] | {column: "2"})
    tables, report = raw.read(tmp_path)
    assert [tables.accidents["light"][0], tables.vehicles["category"][0], tables.users["severity"][0]] == [
        1,
        7,
        3,
    ]
    assert report.to_frame().query("action == 'dropped'")["count"].tolist() == [1, 1, 1]
    assert [len(tables.accidents), len(tables.vehicles), len(tables.users)] == [3, 3, 3]


def test_of_several_roads_the_fastest_is_kept(tmp_path: Path) -> None:
    raw = RawYear(2024).set("lieux", "vma", "50", "30", "")
    raw.rows["lieux"] += [
        raw.rows["lieux"][0] | {"vma": "80", "circ": "3"},
        raw.rows["lieux"][1] | {"vma": "-1"},
    ]
    raw.rows["lieux"].append(dict(raw.rows["lieux"][2]))
    tables, report = raw.read(tmp_path)
    assert tables.places["speed_limit"].tolist() == [80, 30, pd.NA]
    assert tables.places["layout"].tolist() == [3, 2, 2]
    assert report.count(table="places", rule="further road of the accident; the fastest is kept") == 2
    assert report.count(table="places", rule="copy of another row") == 1


def test_users_without_key_are_dropped_only_if_they_drive_the_same_vehicle(tmp_path: Path) -> None:
    raw = RawYear(2013)
    driver, passenger = raw.rows["usagers"][0], raw.rows["usagers"][1] | {"catu": "2", "place": "2"}
    raw.rows["usagers"] += [dict(driver), passenger, dict(passenger), driver | {"num_veh": "B01"}]
    tables, report = raw.read(tmp_path)
    assert len(tables.users) == 6
    assert report.count(table="users", action="dropped") == 1
    assert report.count(table="users", rule="their vehicle is not in vehicules") == 1


def test_vehicles_without_label_are_all_kept(tmp_path: Path) -> None:
    raw = RawYear(2013).set("vehicules", "num_veh", "", "", "")
    raw.rows["vehicules"] += [dict(raw.rows["vehicules"][0])]
    tables, report = raw.read(tmp_path)
    assert len(tables.vehicles) == 4
    assert report.count(action="dropped") == 0


def test_no_message_shows_a_stack_or_a_bare_type(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_year(spoil(tmp_path, GOOD[:-20]))
    assert not re.search(r"Traceback|Error\b|None", str(caught.value))
