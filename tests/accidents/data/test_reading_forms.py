"""Every form in which a value was published comes out as the same value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accidents.data.reading import read_year, read_years
from accidents.data.tables import DTYPES
from accidents.vocabulary.codes import TABLES
from tests.accidents.raw_year import RawYear

MISSING = None


def values(series: pd.Series) -> list[object]:
    """Cells as plain Python, None where missing."""
    return [None if pd.isna(value) else value for value in series.tolist()]


def read_column(folder: Path, table: str, column: str, raw: str, year: int, *cells: str) -> list[object]:
    raw_tables = {
        "accidents": "caracteristiques",
        "places": "lieux",
        "vehicles": "vehicules",
        "users": "usagers",
    }
    tables, _ = RawYear(year, len(cells)).set(raw_tables[table], raw, *cells).read(folder)
    return values(getattr(tables, table)[column])


@pytest.mark.parametrize("year", [2005, 2009, 2013, 2016, 2018, 2019, 2021, 2022, 2024])
def test_every_year_reads_to_the_same_tables(tmp_path: Path, year: int) -> None:
    tables, report = RawYear(year).read(tmp_path)
    accident = tables.accidents.iloc[0]
    assert accident["accident_id"] == year * 10**8 + 1
    assert accident[["year", "month", "day", "hour", "minute"]].tolist() == [year, 7, 14, 17, 45]
    assert accident[["department", "commune"]].tolist() == ["59", "59009"]
    assert accident["latitude"] == pytest.approx(50.62925)
    assert accident["longitude"] == pytest.approx(3.05726)
    assert tables.places["road_width"].tolist() == pytest.approx([6.1] * 3)
    assert values(tables.places["speed_limit"]) == [50 if year > 2018 else None] * 3
    assert values(tables.places["position"]) == [None if year == 2018 else 1] * 3
    assert tables.vehicles["category"].tolist() == [7] * 3
    assert tables.users["severity"].tolist() == [3] * 3
    assert report.count(action="dropped") == report.count(action="repaired") == 0
    for table in TABLES:
        assert getattr(tables, table).dtypes.astype(str).to_dict() == dict(DTYPES[table])
        assert len(getattr(tables, table)) == 3


@pytest.mark.parametrize(
    ("encoding", "separator", "newline", "gz"),
    [
        ("utf-8-sig", ",", "\r\n", False),
        ("latin-1", "\t", "\n", True),
        ("utf-8", ";", "\r", False),
        ("utf-8", "|", "\r\n", True),
    ],
)
def test_form_of_the_file_does_not_matter(
    tmp_path: Path, encoding: str, separator: str, newline: str, gz: bool
) -> None:
    raw = (
        RawYear(2009)
        .set("caracteristiques", "adr", "Allée du Général; 3, rue\tX|Y")
        .set("lieux", "voie", "Allée")
    )
    expected, _ = raw.read(tmp_path)
    tables, report = read_year(raw.write(tmp_path, encoding, separator, newline, gz))
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(tables, table), getattr(expected, table))
    assert tables.places["road_number"][0] == "Allée"
    assert report.count(action="dropped") == 0


def test_blank_lines_are_skipped_and_line_numbers_still_hold(tmp_path: Path) -> None:
    files = RawYear(2021).set("lieux", "surf", "1", "1", "77").write(tmp_path)
    assert files.lieux is not None
    lines = files.lieux.read_text().splitlines()
    files.lieux.write_text("\n".join(["", lines[0], "", lines[1], "   ", *lines[2:], "", " ", ""]))
    tables, report = read_year(files)
    assert len(tables.places) == 3
    finding = report.to_frame().query("column == 'surface' and action == 'blanked'").iloc[0]
    assert finding["example"] == "lieux-2021.csv, line 7: '77'"


def test_line_break_in_a_quoted_text_keeps_its_row(tmp_path: Path) -> None:
    raw = (
        RawYear(2021)
        .set("caracteristiques", "adr", "RUE\nHAUTE; 3")
        .set("caracteristiques", "lum", "1", "88")
    )
    tables, report = raw.read(tmp_path)
    assert len(tables.accidents) == 3
    assert "line 4" in report.to_frame().query("column == 'light' and action == 'blanked'")["example"].iloc[0]


def test_column_names_in_any_case_or_alias(tmp_path: Path) -> None:
    files = RawYear(2022).write(tmp_path)
    assert files.caracteristiques is not None
    assert files.usagers is not None
    for path, old, new in (
        (files.caracteristiques, "Num_Acc", "Accident_Id"),
        (files.usagers, "Num_Acc;id_usager", '"num_acc";"ID_Usager\u00a0"'),
    ):
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    tables, report = read_year(files)
    assert (len(tables.accidents), len(tables.users)) == (3, 3)
    assert report.count(rule="unknown column, not read") == 0


@pytest.mark.parametrize(
    ("year", "cells", "expected"),
    [
        (
            2013,
            ["7", "07", "7.0", " 7 ", "\u00a07", "(1)", ".", " -1", "", "-1.0", "0", "NA", "NULL"],
            [7] * 5 + [None] * 8,
        ),
        (2021, ["7", "07", "7,0", "+7", "7\u202f", "(1)", ".", " -1", "", "- 1", "00"], [7] * 5 + [None] * 6),
    ],
)
def test_renderings_of_a_code(tmp_path: Path, year: int, cells: list[str], expected: list[object]) -> None:
    assert read_column(tmp_path, "vehicles", "category", "catv", year, *cells) == expected


def test_pedestrian_actions_are_text(tmp_path: Path) -> None:
    cells = ["0", "3.0", "A", "b", "-1", "C"]
    assert read_column(tmp_path, "users", "pedestrian_action", "actp", 2021, *cells) == [
        "0",
        "3",
        "A",
        "B",
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("year", "cells", "expected"),
    [
        (
            2013,
            ["1745", "931", "45", "5", "0", "1745.0", "2400", "1260", ""],
            [1065, 571, 45, 5, 0, 1065] + [None] * 3,
        ),
        (
            2021,
            ["17:45", "7:05", "07:25", "00:00", "27:00", "12:60", "noon"],
            [1065, 425, 445, 0] + [None] * 3,
        ),
    ],
)
def test_times(tmp_path: Path, year: int, cells: list[str], expected: list[object]) -> None:
    tables, report = RawYear(year, len(cells)).set("caracteristiques", "hrmn", *cells).read(tmp_path)
    hours, minutes = values(tables.accidents["hour"]), values(tables.accidents["minute"])
    assert [None if h is None else h * 60 + m for h, m in zip(hours, minutes, strict=True)] == expected  # type: ignore[operator]
    assert report.count(column="time", action="blanked", rule="not a time") == (2 if year == 2013 else 3)


@pytest.mark.parametrize(
    ("year", "pairs", "expected"),
    [
        (
            2013,
            [
                ("590", "009"),
                ("10", "53"),
                ("201", "4"),
                ("202", "033"),
                ("971", "024"),
                ("974", "411"),
                ("980", "1"),
            ],
            [
                ("59", "59009"),
                ("01", "01053"),
                ("2A", "2A004"),
                ("2B", "2B033"),
                ("971", "97124"),
                ("974", "97411"),
                (None, None),
            ],
        ),
        (
            2021,
            [
                ("59", "59009"),
                ("1", "1053"),
                ("2A", "2A004"),
                ("2b", "2b033"),
                ("974", "97411"),
                ("10", "10387"),
            ],
            [
                ("59", "59009"),
                ("01", "01053"),
                ("2A", "2A004"),
                ("2B", "2B033"),
                ("974", "97411"),
                ("10", "10387"),
            ],
        ),
        (2016, [("590.0", "9.0"), ("620.0", "1.0")], [("59", "59009"), ("62", "62001")]),
        (2024, [("", "97411"), ("", "2A004"), ("59", "")], [("974", "97411"), ("2A", "2A004"), ("59", None)]),
        # Re-saved copies in the form of other years.
        (2013, [("59", "59009"), ("10", "10387")], [("59", "59009"), ("10", "10387")]),
        (2021, [("590", "009"), ("100", "387")], [("59", "59009"), ("10", "10387")]),
    ],
)
def test_departments_and_communes(
    tmp_path: Path, year: int, pairs: list[tuple[str, str]], expected: list[tuple[str | None, str | None]]
) -> None:
    raw = RawYear(year, len(pairs))
    raw.set("caracteristiques", "dep", *(dep for dep, _ in pairs))
    raw.set("caracteristiques", "com", *(com for _, com in pairs))
    tables, _ = raw.read(tmp_path)
    accidents = tables.accidents
    assert list(zip(values(accidents["department"]), values(accidents["commune"]), strict=True)) == expected


@pytest.mark.parametrize(
    ("year", "department", "latitude", "longitude", "expected", "rule"),
    [
        (2013, "590", "5062925", "0305726", (50.62925, 3.05726), "published x 100000"),
        (2013, "290", "4839000", "-0448600", (48.39, -4.486), "published x 100000"),
        (2016, "590", "5062925.0", "305726.0", (50.62925, 3.05726), "published x 100000"),
        (2018, "590", "50.62925", "3.05726", (50.62925, 3.05726), ""),
        (2021, "64", "43,4745520", " -1,2048040", (43.474552, -1.204804), ""),
        (2024, "64", "43.474552", "-1.204804", (43.474552, -1.204804), ""),
        (2013, "974", "2088230", "5545040", (-20.8823, 55.4504), "sign lost overseas"),
        (2013, "976", "1278090", "4522780", (-12.7809, 45.2278), "sign lost overseas"),
        (2013, "971", "1624130", "6153310", (16.2413, -61.5331), "sign lost overseas"),
        (2013, "973", "0493710", "5232500", (4.9371, -52.325), "sign lost overseas"),
        (2013, "974", "5545040", "2088230", (-20.8823, 55.4504), "latitude and longitude swapped"),
        (2019, "988", "-22,27", "166,44", (-22.27, 166.44), ""),
        (2013, "590", "0000000", "0000000", None, "0 is unknown"),
        (2013, "590", "5062925", "0", None, "0 is unknown"),
        (2013, "590", "5062925", "", None, "only one of latitude and longitude"),
        (2013, "590", "", "-", None, ""),
        (2013, "590", "4000000", "0305726", None, "outside its department or France"),
        (2013, "590", "1624130", "6153310", None, "outside its department or France"),
        (2021, "59", "north", "3,05", None, "not a number"),
        (2021, "59", "inf", "3,05", None, "not a number"),
    ],
)
def test_coordinates(
    tmp_path: Path,
    year: int,
    department: str,
    latitude: str,
    longitude: str,
    expected: tuple[float, float] | None,
    rule: str,
) -> None:
    raw = RawYear(year, 1).set("caracteristiques", "dep", department).set("caracteristiques", "com", "")
    tables, report = (
        raw.set("caracteristiques", "lat", latitude).set("caracteristiques", "long", longitude).read(tmp_path)
    )
    found = tables.accidents[["latitude", "longitude"]].to_numpy()[0]
    np.testing.assert_allclose(found, expected or (np.nan, np.nan), atol=1e-6)
    assert not rule or report.count(rule=rule) == 1
    outside = "outside its department or France"
    assert report.count(rule=outside) == (rule == outside)


def test_lost_sign_is_found_without_department(tmp_path: Path) -> None:
    raw = RawYear(2018, 3).drop("caracteristiques", "dep", "com")
    raw.set("caracteristiques", "lat", "14.65", "20.88", "48.85").set(
        "caracteristiques", "long", "61.05", "55.45", "2.35"
    )
    tables, _ = raw.read(tmp_path)
    assert tables.accidents["latitude"].tolist() == [14.65, -20.88, 48.85]
    assert tables.accidents["longitude"].tolist() == [-61.05, 55.45, 2.35]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["50", "5", "500", "130", "1100", "90.0"], [50, 50, 50, 130, 110, 90]),
        (["140", "301", "520", "0", "-1", "fast", "2000"], [None] * 7),
    ],
)
def test_speed_limits(tmp_path: Path, cells: list[str], expected: list[object]) -> None:
    assert read_column(tmp_path, "places", "speed_limit", "vma", 2021, *cells) == expected


def test_speed_limit_repairs_are_counted(tmp_path: Path) -> None:
    _, report = RawYear(2021, 4).set("lieux", "vma", "5", "500", "140", "fast").read(tmp_path)
    assert report.count(column="speed_limit", action="repaired") == 2
    assert report.count(column="speed_limit", action="blanked") == 2


def test_widths_are_metres_in_both_eras(tmp_path: Path) -> None:
    assert read_column(
        tmp_path, "places", "road_width", "larrout", 2016, "60.0", "061", "000"
    ) == pytest.approx([6.0, 6.1, None])
    assert read_column(
        tmp_path, "places", "road_width", "larrout", 2021, "5,5", "5.5", "-1", "wide"
    ) == pytest.approx([5.5, 5.5, None, None])


def test_birth_years_that_give_no_age_are_blanked(tmp_path: Path) -> None:
    cells = ["1980", "1980.0", "2021", "2022", "1880", "0", "old"]
    found = read_column(tmp_path, "users", "birth_year", "an_nais", 2021, *cells)
    assert found == [1980, 1980, 2021, None, None, None, None]


def test_grouped_numbers_lose_their_no_break_spaces(tmp_path: Path) -> None:
    cells = ["2\u00a0218", "1\u202f000", "2Â\u00a0218", "910"]
    found = read_column(tmp_path, "places", "milepost_distance", "pr1", 2021, *cells)
    assert found == [2218, 1000, 2218, 910]


def test_impossible_dates_are_blanked_and_counted(tmp_path: Path) -> None:
    raw = RawYear(2021, 5).set("caracteristiques", "mois", "13", "02", "00", "x", "12")
    tables, report = raw.set("caracteristiques", "jour", "1", "30", "32", "1", "31").read(tmp_path)
    assert values(tables.accidents["month"]) == [None, 2, None, None, 12]
    assert values(tables.accidents["day"]) == [1, None, None, 1, 31]
    frame = report.to_frame().query("action == 'blanked'").set_index("column")
    assert frame.loc["month", "count"].sum() == 3
    assert "line 3: '30'" in frame.loc["day", "example"].to_list()[1]


def test_year_comes_from_the_file_name(tmp_path: Path) -> None:
    tables, _ = RawYear(2018).drop("caracteristiques", "an", "jour").read(tmp_path)
    assert tables.accidents["year"].tolist() == [2018] * 3
    assert values(tables.accidents["day"]) == [None] * 3


def test_codes_of_other_years_are_noted_and_kept(tmp_path: Path) -> None:
    tables, report = RawYear(2013).set("vehicules", "catv", "50").read(tmp_path)
    assert tables.vehicles["category"][0] == 50
    assert report.count(column="category", rule="code of other years", action="noted") == 1


def test_known_weaknesses_of_years_are_on_the_report(tmp_path: Path) -> None:
    _, report = RawYear(2013).read(tmp_path)
    assert report.count(column="direction", rule="unknown for 97 % of vehicles") == 3
    assert report.count(column="severity", action="noted") == 3
    (tmp_path / "2018").mkdir()
    _, report = RawYear(2018).read(tmp_path / "2018")
    assert report.count(column="position", action="blanked") == 3


def test_drivers_who_fled_are_noted(tmp_path: Path) -> None:
    raw = RawYear(2021).set("usagers", "sexe", "-1").set("usagers", "an_nais", "").set("usagers", "grav", "1")
    tables, report = raw.read(tmp_path)
    assert tables.users["severity"].tolist() == [1, 3, 3]
    assert report.count(table="users", column="severity") == 1


def test_years_of_different_columns_concatenate(tmp_path: Path) -> None:
    years = {
        2013: RawYear(2013).drop("usagers").write(tmp_path),
        2018: RawYear(2018)
        .drop("caracteristiques", "dep", "jour", "col", "com", "adr", "an", "gps")
        .drop("usagers", *(set(RawYear(2018).rows["usagers"][0]) - {"Num_Acc", "grav"}))
        .write(tmp_path),
        2024: RawYear(2024).write(tmp_path),
    }
    tables, report = read_years(years)
    tables.validate()
    assert tables.accidents["year"].value_counts().to_dict() == {2013: 3, 2018: 3, 2024: 3}
    assert tables.users["accident_id"].floordiv(10**8).value_counts().to_dict() == {2018: 3, 2024: 3}
    assert tables.accidents.index.tolist() == list(range(9))
    assert report.count(rule="there is no file of this table") == 1
    assert report.count(year=2018, rule="column is not in the file", column="department") == 3
