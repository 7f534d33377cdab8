"""What is scored is what was asked for: another content under the same name is refused."""

from __future__ import annotations

import errno
import shutil
from functools import partial
from pathlib import Path

import pytest
from dvc.repo import Repo

from accidents.data.data_versions import restore, snapshot
from accidents.data.sources.sample import write_sample
from accidents.data.sources.settings import DataSettings
from accidents.errors import SourceError
from accidents.scoring.batch import inputs, read_input, version_of

CALLS = "time,latitude,longitude\n2024-03-02T18:30,48.85,2.35\n"
DATA = DataSettings()


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of accidents, beside a DVC repository of the test's own in place of the project's."""
    folder = tmp_path / "repository"
    folder.mkdir()
    Repo.init(str(folder), no_scm=True)
    monkeypatch.setattr(inputs, "DATA", tmp_path / "data")
    monkeypatch.setattr(inputs, "snapshot", partial(snapshot, root=folder))
    monkeypatch.setattr(inputs, "restore", partial(restore, root=folder))
    path = tmp_path / "calls.csv"
    path.write_text(CALLS)
    return path


@pytest.mark.parametrize("keep", [False, True])
def test_a_file_that_has_changed_is_refused_or_taken_as_it_was(calls: Path, keep: bool) -> None:
    version = version_of(str(calls), DATA, keep=keep)
    assert len(read_input(str(calls), DATA, version).rows) == 1
    calls.write_text(CALLS + "2024-03-02T19:30,48.85,2.35\n")
    if keep:
        assert len(read_input(str(calls), DATA, version).rows) == 1
    else:
        with pytest.raises(SourceError, match=r"calls\.csv is not what it was when the run began"):
            read_input(str(calls), DATA, version)
    assert len(read_input(str(calls), DATA).rows) == 2


def test_where_the_file_is_not_it_comes_from_dvc(calls: Path) -> None:
    version = version_of(str(calls), DATA, keep=True)
    calls.unlink()
    assert read_input(str(calls), DATA, version).facts["input"] == str(calls)


@pytest.mark.parametrize("there", ["nothing", "other years", "not to be seen"])
def test_a_folder_that_is_another_one_here_comes_from_dvc(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    write_sample(tmp_path / "made", (2018,), 100)
    folder = tmp_path / "made" / "2018"
    version = version_of(str(folder), DATA, keep=True)
    shutil.rmtree(folder)
    folder.mkdir()
    if there == "other years":
        for name in ("lieux-2016.csv", "lieux-2017.csv"):
            (folder / name).write_text("Num_Acc\n")
    elif there == "not to be seen":
        exists = Path.exists

        def refused(path: Path) -> bool:
            if path == folder:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return exists(path)

        monkeypatch.setattr(Path, "exists", refused)
    assert len(read_input(str(folder), DATA, version).rows) > 50
