"""`data/prepared` spares a run the reading, as long as it is what was made of the run's raw files."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from accidents import dvc_stages
from accidents.data import dataset
from accidents.data.dataset import RawData, prepare
from accidents.data.sources.year_files import find_years
from tests.accidents.raw_year import RawYear


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RawData:
    """Raw files of one year, of which the stage has made `data/prepared`."""
    (tmp_path / "raw" / "2016").mkdir(parents=True)
    RawYear(2016, 5).write(tmp_path / "raw" / "2016")
    made = RawData(find_years(tmp_path / "raw"), "0f.dir", synthetic=False)
    monkeypatch.setattr(dataset, "STAMP", tmp_path / "prepared" / "made_from.json")
    monkeypatch.setattr(dvc_stages, "STAMP", dataset.STAMP)
    monkeypatch.setattr(dvc_stages, "DATA", tmp_path)
    monkeypatch.setattr(dvc_stages, "versioned", lambda _: made)
    assert dvc_stages.main(["prepared"]) == 0
    return made


def severed(raw: RawData) -> RawData:
    """Take the raw files away: only `data/prepared` can be read then."""
    for files in raw.years.values():
        for path in files.paths.values():
            path.unlink()
    return raw


def other_hour() -> pd.DataFrame:
    """Change the hour of every accident in the prepared table; return what the table was."""
    file = dataset.STAMP.with_name("accidents.parquet")
    before = pd.read_parquet(file)
    before.assign(hour=3).to_parquet(file, index=False)
    return before


def test_it_is_taken_as_it_was_made(raw: RawData, capsys: pytest.CaptureFixture[str]) -> None:
    tables, quality = prepare(severed(raw))
    assert len(tables.accidents) == 5
    assert quality.to_json() == dataset.STAMP.with_name("quality.json").read_text()
    assert not capsys.readouterr().err


def test_an_altered_table_is_not_taken_for_what_the_version_says(
    raw: RawData, capsys: pytest.CaptureFixture[str]
) -> None:
    before = other_hour()
    tables, _ = prepare(raw)
    assert tables.accidents["hour"].tolist() == before["hour"].tolist() != [3] * 5
    warning = capsys.readouterr().err
    assert "is not as it was made (accidents.parquet): the raw files are read instead" in warning
    assert "dvc repro prepared" in warning


def test_a_table_that_is_gone_is_read_anew(raw: RawData, capsys: pytest.CaptureFixture[str]) -> None:
    dataset.STAMP.with_name("vehicles.parquet").unlink()
    assert len(prepare(raw)[0].accidents) == 5
    assert "(vehicles.parquet)" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["without hashes", "{", "of other files"])
def test_a_stamp_that_proves_nothing_takes_nothing(raw: RawData, text: str) -> None:
    other_hour()
    stamped = json.loads(dataset.STAMP.read_text())
    if text == "of other files":
        stamped["data_version"] = "1f.dir"
    else:
        del stamped["files"]
    dataset.STAMP.write_text(text if text == "{" else json.dumps(stamped))
    assert prepare(raw)[0].accidents["hour"].tolist() != [3] * 5
