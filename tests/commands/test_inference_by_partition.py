"""`--pipeline inference` with `engine: dask`: what does not go with it is told before anything begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from accidents.data.partition_files import TablePart, write_manifest
from accidents.errors import SettingsError
from accidents.params import load_params
from commands.inference import inference
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
