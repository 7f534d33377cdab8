"""Opening a folder of published files, and naming a source."""

from __future__ import annotations

from pathlib import Path

import pytest

from accidents.data.sources import fetch
from accidents.data.sources.folder import open_folder
from accidents.data.sources.published_files import published_files
from accidents.errors import SourceError
from tests.accidents.published import csv_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The published files of 2012, 2016 and 2021, without the users of 2016."""
    home = tmp_path / "files"
    for file in published_files([2012, 2016, 2021]):
        if file.place != "2016/usagers_2016.csv":
            (home / str(file.year)).mkdir(parents=True, exist_ok=True)
            (home / file.place).write_bytes(csv_of(file.table, file.year, rows=2))
    return home


def test_all_years_or_those_asked_for(folder: Path) -> None:
    assert list(open_folder(folder)) == [2012, 2016, 2021]
    assert list(open_folder(folder, [2021, 2012, 2012])) == [2012, 2021]


def test_a_missing_table_does_not_stop_it(folder: Path) -> None:
    files = open_folder(folder, [2016])[2016]
    assert files.usagers is None
    assert files.caracteristiques == folder / "2016" / "caracteristiques_2016.csv"


def test_a_year_that_is_not_there(folder: Path) -> None:
    with pytest.raises(SourceError) as told:
        open_folder(folder, [2013, 2016, 2019])
    assert str(told.value) == (
        f"{folder} has no 2013, 2019. Years there are: 2012, 2016, 2021; nearest: 2012, 2021. "
        "Ask for those with --years."
    )


def test_a_folder_without_published_names(tmp_path: Path) -> None:
    (tmp_path / "accidents.csv").write_text("a,b\n")
    with pytest.raises(SourceError) as told:
        open_folder(tmp_path, [2018])
    message = str(told.value)
    assert message.startswith(f"{tmp_path}: none of the files in it")
    assert "caracteristiques-2018.csv" in message
    assert "rename your files" in message


def test_two_files_for_one_table(folder: Path) -> None:
    copy = folder / "copy" / "lieux-2021.csv.gz"
    copy.parent.mkdir()
    copy.write_bytes(b"")
    with pytest.raises(SourceError) as told:
        open_folder(folder)
    assert "2021/lieux-2021.csv" in str(told.value)
    assert "copy/lieux-2021.csv.gz" in str(told.value)
    assert "Remove one" in str(told.value)


def test_nothing_is_written(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    fetch(str(folder), [2012, 2016, 2021], folder / "unused")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("word", "meant"), [("smaple", "sample"), ("datagouv", "data.gouv"), ("data.gouv.fr", "data.gouv")]
)
def test_a_misspelt_source(tmp_path: Path, word: str, meant: str) -> None:
    with pytest.raises(SourceError) as told:
        fetch(word, [2018], tmp_path)
    assert f"'{word}'" in str(told.value)
    assert "sample, data.gouv" in str(told.value)
    assert f"Did you mean {meant}?" in str(told.value)


def test_a_misspelt_path(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=rf"Did you mean {folder}\?"):
        fetch(str(folder.with_name("flies")), [2018], tmp_path)
    with pytest.raises(SourceError, match="Check the spelling"):
        fetch("/no/such/place/at/all", [2018], tmp_path)


def test_a_file_instead_of_its_folder(folder: Path, tmp_path: Path) -> None:
    file = folder / "2012" / "lieux_2012.csv"
    with pytest.raises(SourceError, match=rf"is a file\. Give the folder it is in: {file.parent}"):
        fetch(str(file), [2012], tmp_path)


def test_made_files_lie_apart_from_downloaded_ones(tmp_path: Path) -> None:
    made = fetch("sample", [2018], tmp_path, sample={"accidents_per_year": 200, "seed": 1})
    assert list(made) == [2018]
    assert all(path.is_relative_to(tmp_path / "sample" / "2018") for path in made[2018].paths.values())


@pytest.mark.realdata
def test_the_real_folder(baac: Path) -> None:
    years = open_folder(baac)
    assert list(years) == [2013, 2016, 2018, 2019, 2020, 2021, 2022]
    assert [year for year, files in years.items() if files.usagers is None] == [2013]
