"""`--pipeline inference` with `engine: dask`: what does not go with it is told before anything begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from accidents.data.partition_files import TablePart, write_manifest
from accidents.errors import SettingsError
from accidents.params import load_params
from commands.inference import _show_partitions, inference
from commands.project import ROOT


@pytest.mark.parametrize(
    ("raw_csv", "output", "told"),
    [
        (True, None, "--raw-csv: .*predictions are Parquet"),
        (False, "a file", "a file is a file: name a folder"),
    ],
)
def test_what_does_not_go_with_dask_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw_csv: bool, output: str | None, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a file").touch()
    Path("dask.yaml").write_text("engine: dask\n")
    write_manifest("tables", [TablePart("year=2021/part-0000", 2021, 1, "")], synthetic=True)
    params = load_params(ROOT / "params.yaml")
    with pytest.raises(SettingsError, match=told):
        inference(params, "local", Path("dask.yaml"), "tables", output, None, "none", raw_csv)


def test_what_reading_dropped_and_warned_of_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    scored = {
        "rows": 5, "scored": 4, "set_aside": 0, "dropped": 1, "alerts": 2, "warnings": ["2016: a warning."],
        "parts": [{}], "model_name": "small", "model_version": "1",
    }  # fmt: skip
    _show_partitions(scored, "out")
    told = capsys.readouterr().out.replace("\n", " ")
    assert "5 rows: 4 scored, 0 set aside, 1 dropped as they were read; 2 alerts" in told
    assert "2016: a warning." in told
