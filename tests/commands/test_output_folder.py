"""Batch scoring takes the place of an earlier output of its own, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from accidents.data.sources.settings import DataSettings
from accidents.errors import SettingsError
from accidents.files import whole_folder
from commands import output_folder
from commands.output_folder import asked_folder, folder_for, partitions_address

DATA = DataSettings(source="sample")


def write_output(folder: Path, given: str = "calls.csv", **facts: object) -> Path:
    """What tells an output, as scoring `given` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "predictions.parquet").touch()
    told = {"input": given, "source": "file", "scored": 3, "set_aside": 1, **facts}
    (folder / "summary.json").write_text(json.dumps(told))
    return folder


def test_an_output_is_replaced_and_an_empty_folder_taken(tmp_path: Path) -> None:
    before = write_output(tmp_path / "out")
    (tmp_path / "empty").mkdir()
    assert asked_folder(str(before)) == before
    assert asked_folder(str(tmp_path / "empty")) == tmp_path / "empty"
    assert asked_folder(str(tmp_path / "new")) == tmp_path / "new"


def test_the_folder_of_all_reports_is_no_output(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "summary.json").write_text(json.dumps({"decision": {"promote": True}, "name": "a"}))
    (reports / "model_card.html").touch()
    with pytest.raises(SettingsError, match="holds other files"):
        asked_folder(str(reports))


@pytest.mark.parametrize("name", ["thesis.txt", "replay"])
def test_an_output_with_anything_beside_it_is_not_replaced(tmp_path: Path, name: str) -> None:
    (write_output(tmp_path / "out") / name).touch()
    with pytest.raises(SettingsError, match="holds other files"):
        asked_folder(str(tmp_path / "out"))


@pytest.mark.parametrize("content", ["", "[]", "3", '{"scored": 3}'])
def test_a_summary_of_another_form_tells_no_output(tmp_path: Path, content: str) -> None:
    (write_output(tmp_path / "out") / "summary.json").write_text(content)
    with pytest.raises(SettingsError, match="holds other files"):
        asked_folder(str(tmp_path / "out"))


def test_the_folder_that_one_is_in_is_refused_before_anything_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_output(tmp_path / "out"))
    for name in (".", "../out", str(tmp_path / "out")):
        with pytest.raises(SettingsError, match="the folder that you are in"):
            asked_folder(name)


def test_a_link_stays_a_link_however_often_it_is_written_to(tmp_path: Path) -> None:
    target, link = tmp_path / "disk" / "out", tmp_path / "out"
    link.symlink_to(target)
    for _ in range(3):
        with whole_folder(asked_folder(str(link))) as part:
            write_output(part)
    assert link.is_symlink()
    assert (link / "summary.json").exists()
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert {path.name for path in tmp_path.iterdir()} == {"disk", "out"}


@pytest.fixture
def inference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the outputs that no `--output` was given for."""
    monkeypatch.setattr(output_folder, "INFERENCE", tmp_path / "inference")
    return tmp_path / "inference"


def test_files_of_one_name_leave_an_output_each(inference: Path) -> None:
    first, second = "2026-11-01/calls.csv", "2026-11-02/calls.csv"
    places = [write_output(folder_for(None, given, DATA), given) for given in (first, second)]
    assert places == [inference / "calls", inference / "calls-2"]
    assert [folder_for(None, given, DATA) for given in (first, second)] == places, "again, where they were"
    assert folder_for(None, "calls.csv", DATA) == inference / "calls-3"


def test_a_year_of_another_source_leaves_an_output_of_its_own(inference: Path) -> None:
    write_output(folder_for(None, "2022", DATA), "2022", source="sample")
    assert folder_for(None, "2022", DATA) == inference / "2022"
    assert folder_for(None, "2022", DataSettings(source="data.gouv")) == inference / "2022-2"


def test_the_two_engines_leave_each_other_alone(inference: Path) -> None:
    by_partition = Path(partitions_address(None, "2022", "0.dir"))
    by_partition.mkdir(parents=True)
    (by_partition / "made_of.json").write_text('{"input": "0.dir", "model_version": "1"}')
    here = write_output(folder_for(None, "2022", DATA), "2022", source="sample")
    assert (by_partition, here) == (inference / "2022", inference / "2022-2")
    assert partitions_address(None, "2022", "0.dir") == str(by_partition), "whatever version made them"
    assert partitions_address(None, "2022", "1.dir") == str(inference / "2022-3"), "of other accidents"
    assert folder_for(None, "2022", DATA) == here
    with pytest.raises(SettingsError, match="2022-2 holds other files: name a new folder with --output"):
        partitions_address(str(here), "2022", "0.dir")


def test_what_a_person_put_there_stays(inference: Path) -> None:
    inference.mkdir()
    (inference / "calls").touch()
    assert folder_for(None, "calls.csv", DATA) == inference / "calls-2"
