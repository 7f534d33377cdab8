"""Published files are found by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from accidents.data.sources.year_files import YearFiles, find_years, parse_name
from accidents.errors import SourceError


@pytest.mark.parametrize(
    ("name", "table", "year"),
    [
        ("caracteristiques_2005.csv", "caracteristiques", 2005),
        ("caracteristiques-2018.csv.gz", "caracteristiques", 2018),
        ("carcteristiques-2021.csv", "caracteristiques", 2021),
        ("caract-2024.csv", "caracteristiques", 2024),
        ("Caract-2023.CSV", "caracteristiques", 2023),
        ("lieux_2009.csv", "lieux", 2009),
        ("vehicules-2019.csv.gz", "vehicules", 2019),
        ("usagers-2020.csv", "usagers", 2020),
    ],
)
def test_every_published_name_is_known(name: str, table: str, year: int) -> None:
    assert parse_name(name) == (table, year)


@pytest.mark.parametrize(
    "name",
    [
        "vehicules-immatricules-baac-2019.csv",
        "2005-2019_users_sample_50k.csv.gz",
        "caracteristiques.csv",
        "usagers-2020.csv.tmp",
        "lieux-20.csv",
        "my-lieux-2019.csv",
    ],
)
def test_other_names_are_left_alone(name: str) -> None:
    assert parse_name(name) is None


def test_files_are_found_at_any_depth_and_by_year(tmp_path: Path) -> None:
    for name in ("2021/carcteristiques-2021.csv", "a/b/usagers-2021.csv.gz", "lieux_2013.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    found = find_years(tmp_path)
    assert list(found) == [2013, 2021]
    assert found[2013] == YearFiles(2013, lieux=tmp_path / "lieux_2013.csv")
    assert list(found[2021].paths) == ["caracteristiques", "usagers"]


def test_two_files_of_one_table_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("lieux-2021.csv", "lieux-2021.csv.gz"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SourceError, match=r"lieux table of 2021: lieux-2021\.csv and lieux-2021\.csv\.gz"):
        find_years(tmp_path)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        find_years(tmp_path / "nowhere")
    assert find_years(tmp_path) == {}
