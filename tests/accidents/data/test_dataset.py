"""A run gets the raw files that it was promised, by their hash, or none."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import pytest
from dvc.repo import Repo

from accidents.data import dataset
from accidents.data.data_versions import push, restore, snapshot
from accidents.data.dataset import SYNTHETIC, fetch_raw, made_from, raw_of, source_of
from accidents.data.partition_files import MANIFEST
from accidents.data.sample_partitions import write_partitions
from accidents.data.sources import UNKNOWN, fetch
from accidents.data.sources.labelled_years import labelled_years
from accidents.data.sources.settings import DataSettings
from accidents.errors import DataError, SourceError


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository of the test's own, in place of the project's."""
    folder = tmp_path / "repository"
    folder.mkdir()
    Repo.init(str(folder), no_scm=True)
    monkeypatch.setattr(dataset, "snapshot", partial(snapshot, root=folder))
    monkeypatch.setattr(dataset, "restore", partial(restore, root=folder))
    return folder


@pytest.fixture
def given(tmp_path: Path) -> DataSettings:
    """A folder that a person has, with one year."""
    folder = tmp_path / "given"
    folder.mkdir()
    for table in ("caracteristiques", "lieux", "vehicules", "usagers"):
        (folder / f"{table}-2018.csv").write_text("Num_Acc\n201800000001\n")
    return DataSettings(source=str(folder), years=(2018,))


def change(given: DataSettings) -> None:
    (Path(given.source) / "lieux-2018.csv").write_text("Num_Acc\n201800000002\n")


def test_what_a_person_has_changed_since_is_not_taken_for_what_was_promised(
    repository: Path, given: DataSettings, tmp_path: Path
) -> None:
    promised = fetch_raw(given).version
    assert raw_of(promised, given, tmp_path / "data").years[2018].lieux == Path(
        given.source, "lieux-2018.csv"
    )
    change(given)
    found = raw_of(promised, given, tmp_path / "data")
    assert found.version == promised
    assert (found.years[2018].lieux or Path()).read_text().endswith("1\n")
    shutil.rmtree(repository / ".dvc" / "cache")
    with pytest.raises(SourceError, match=rf"{promised}, .* cannot be had.*other files now"):
        raw_of(promised, given, tmp_path / "data")


def test_another_machine_gets_it_from_the_remote(
    repository: Path, given: DataSettings, tmp_path: Path
) -> None:
    promised, remote = fetch_raw(given).version, str(tmp_path / "remote")
    push(promised, remote, repository)
    shutil.rmtree(repository / ".dvc" / "cache")
    shutil.rmtree(given.source)
    assert raw_of(promised, given, tmp_path / "data", remote).version == promised


def test_a_folder_that_is_not_for_this_account_to_see_is_passed_over(
    repository: Path, given: DataSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promised, stat = fetch_raw(given).version, Path.stat

    def refused(path: Path, **options: bool) -> os.stat_result:
        if Path(given.source) in (path, *path.parents):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refused)  # root, who may run the tests, is refused nothing
    assert raw_of(promised, given, tmp_path / "data").version == promised


def test_a_source_that_cannot_be_written_down_here_is_not_called_gone(
    repository: Path, given: DataSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(dataset, "fetch", full)
    with pytest.raises(SourceError, match=r"0f\.dir, .* cannot be had\. .*No space left on device"):
        raw_of("0f.dir", given, tmp_path / "data")


def test_labelled_years_of_a_broken_manifest_are_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("[]")
    with pytest.raises(DataError, match="is no manifest of partitions"):
        labelled_years(DataSettings(source=str(tmp_path)), 2020, 2030)


@pytest.fixture
def archive(tmp_path: Path) -> DataSettings:
    """A folder that a person has, with three years in one archive."""
    folder = tmp_path / "given"
    folder.mkdir()
    with ZipFile(folder / "a.zip", "w") as packed:
        for year in (2018, 2019, 2020):
            for table in ("caracteristiques", "lieux", "vehicules", "usagers"):
                packed.writestr(f"{table}-{year}.csv", f"Num_Acc\n{year}00000001\n")
    return DataSettings(source=str(folder), years=(2018,))


def of_version(version: str, years: Sequence[int] = ()) -> DataSettings:
    return DataSettings(source="sample", version=version, years=tuple(years))


def test_years_of_an_archive_come_back_as_they_were_taken(
    repository: Path, archive: DataSettings, tmp_path: Path
) -> None:
    later = archive.model_copy(update={"years": (2019, 2020)})
    version = fetch_raw(later).version
    everything = fetch_raw(of_version(version), tmp_path / "data")
    assert (sorted(everything.years), everything.version) == ([2019, 2020], version)
    some = fetch_raw(of_version(version, [2020]), tmp_path / "data")
    assert sorted(some.years) == [2020]
    assert sorted(raw_of(some.version, of_version(version, [2020]), tmp_path / "data").years) == [2020]
    shutil.rmtree(archive.source)
    assert sorted(raw_of(version, later, tmp_path / "data").years) == [2019, 2020]
    with pytest.raises(SourceError, match=r"has no 2018\. Years there are: 2019-2020"):
        fetch_raw(of_version(version, [2018]), tmp_path / "data")


def test_other_years_of_an_archive_are_other_prepared_tables(repository: Path, archive: DataSettings) -> None:
    one, both = (fetch_raw(archive.model_copy(update={"years": years})) for years in ((2018,), (2018, 2019)))
    assert one.version == both.version, "an archive is one file"
    assert made_from(one) != made_from(both)


def test_published_files_of_a_data_version_did_not_come_from_the_sample(
    repository: Path, archive: DataSettings, tmp_path: Path
) -> None:
    asked = of_version(fetch_raw(archive).version)
    raw = fetch_raw(asked, tmp_path / "data")
    assert source_of(raw, asked) == UNKNOWN
    assert source_of(raw, asked.model_copy(update={"source": archive.source})) == archive.source


def test_a_sample_of_a_data_version_came_from_the_sample(
    repository: Path, archive: DataSettings, tmp_path: Path
) -> None:
    (Path(archive.source) / SYNTHETIC).write_text("made")
    asked = of_version(fetch_raw(archive).version)
    assert source_of(fetch_raw(asked, tmp_path / "data"), asked) == "sample"


def test_an_unknown_source_offers_no_newer_year_and_asks_for_one(tmp_path: Path) -> None:
    unknown = DataSettings(source=UNKNOWN)
    assert labelled_years(unknown, 2020, 2030) == ()
    with pytest.raises(SourceError, match="Give --source"):
        fetch(unknown.source, (2021,), tmp_path)


def test_labelled_years_of_partitions_and_of_a_folder_at_home(
    given: DataSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_partitions(str(tmp_path / "parts"), (2021, 2022), accidents=100, processes=1)
    assert labelled_years(DataSettings(source=str(tmp_path / "parts")), 2021, 2030) == (2022,)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert labelled_years(DataSettings(source="~/given"), 2017, 2030) == (2018,)
