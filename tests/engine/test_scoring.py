"""Where batch scoring on a cluster looks for its output, and what it refuses; no cluster is started."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from accidents.bundle import Bundle
from accidents.data.dataset import RawData
from accidents.data.partition_files import TablePart
from accidents.data.sources.settings import DataSettings
from accidents.data.storage import read_json
from accidents.data.tables import Tables
from accidents.errors import SettingsError
from accidents.source_code import files_of
from engine import cluster_check, preparation, scoring
from engine.errors import ClusterError
from engine.scoring import MANIFEST, score_tables
from engine.settings import DaskSettings
from engine.table_partitions import PartitionedTables
from engine.tasks import PartitionError
from steps.scoring.score_partitions import score_partitions
from tests.accidents.raw_year import RawYear

PART = TablePart("year=2021/part-0000", 2021, 3, "0")
COUNTS = {"rows": 3, "scored": 3, "set_aside": 0, "alerts": 1, "bands": {"high": 1}, "seconds_scoring": 0.1}
Score = Callable[..., dict[str, Any]]


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Score:
    """Score one partition; a worker writes its predictions here, or `elsewhere`."""

    def score(scheduler: str | None = None, elsewhere: bool = False, **other: Any) -> dict[str, Any]:
        def worked(*_: object) -> list[dict[str, Any]]:
            file = tmp_path / ("theirs" if elsewhere else "scored") / f"{PART.name}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            return [{"name": PART.name, **COUNTS}]

        monkeypatch.setattr(scoring, "each", worked)
        dask = DaskSettings(scheduler=scheduler, folder=str(tmp_path / "partitions"))
        tables = PartitionedTables(address="tables", version="0.parquet", parts=(PART,), dask=dask)
        bundle = cast(Bundle, SimpleNamespace(digest="d1", folder=tmp_path / "bundle"))
        given = {"version": "1", "explained": "none", "output": str(tmp_path / "scored"), **other}
        return score_tables(tables, bundle, "small", **given)

    return score


def test_what_reading_a_raw_year_drops_and_warns_of_is_in_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five rows: one of another year than the file's name says, and a copy, which is set aside locally."""
    raw = RawYear(2016, 5).set("caracteristiques", "an", "15")
    for table in raw.rows:
        raw.set(table, "Num_Acc", "201500000001")
    raw.rows["caracteristiques"][4] = raw.rows["caracteristiques"][3]
    files = RawData({2016: raw.write(tmp_path)}, "0.dir", synthetic=False)

    def each(_: object, work: Callable[..., Any], named: list[tuple[str, Any]], *__: str, **___: str) -> Any:
        return [work(*arguments) for _, arguments in named]

    def score_part(tables: Tables, *_: object) -> tuple[pd.DataFrame, pd.DataFrame, float]:
        predictions = pd.DataFrame({"alert": False, "band": "low"}, index=range(len(tables.accidents)))
        return predictions, pd.DataFrame(), 0.0

    monkeypatch.setattr(preparation, "each", each)
    monkeypatch.setattr(scoring, "each", each)
    monkeypatch.setattr(scoring, "score_part", score_part)
    monkeypatch.setattr(scoring, "_bundle", lambda *_: None)
    monkeypatch.setattr(scoring, "publish_folder", lambda *_: "")
    monkeypatch.setattr("steps.scoring.score_partitions.raw_year", lambda *_: files)
    monkeypatch.setattr("steps.scoring.score_partitions.on_cluster", lambda _: nullcontext())
    bundle = SimpleNamespace(digest="d1", folder=tmp_path)
    version: Any = SimpleNamespace(name="small", version="1", load=lambda _: bundle)
    told = score_partitions.entrypoint(
        "2016", files.version, DataSettings(), cast(Any, None), version, "none", str(tmp_path / "scored"),
        False, DaskSettings(folder=str(tmp_path / "partitions")),
    )  # fmt: skip
    assert {name: told[name] for name in ("rows", "scored", "set_aside", "dropped")} == {
        "rows": 5, "scored": 4, "set_aside": 0, "dropped": 1
    }  # fmt: skip
    assert [warning.partition(" 1 of ")[0] for warning in told["warnings"]] == [
        "2016: of another year than caracteristiques_2016.csv says, by accident id and date, which are kept:"
    ]
    assert read_json(str(tmp_path / "scored" / MANIFEST)) == told


def test_predictions_that_landed_elsewhere_are_not_told_as_there(scored: Score, tmp_path: Path) -> None:
    with pytest.raises(PartitionError, match=r"1 of 1 partitions are not there, .*year=2021.*--output"):
        scored(elsewhere=True)
    assert not (tmp_path / "scored" / MANIFEST).exists()
    assert scored()["scored"] == 3


def test_an_output_that_a_worker_does_not_see_is_refused_before_anything_is_scored(
    scored: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = SimpleNamespace(scheduler_info=lambda **_: {"workers": {"tcp://other:1": {}}})
    monkeypatch.setattr(cluster_check, "client_of", lambda _: client)
    monkeypatch.setattr(cluster_check, "workers_of_our_code", lambda *_: ["tcp://other:1"])
    monkeypatch.setattr(
        cluster_check, "answers_of", lambda *_, workers, **__: dict.fromkeys(workers, "no such file")
    )
    with pytest.raises(
        ClusterError,
        match=r"tcp://other:1 cannot read .*scored/made_of.json as this process does: .*--output",
    ):
        scored(scheduler="tcp://other:8786")
    assert not (tmp_path / "scored" / f"{PART.name}.parquet").exists()


def test_a_worker_that_is_gone_by_then_ends_no_run(scored: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    client = SimpleNamespace(scheduler_info=lambda **_: {"workers": {"tcp://gone:1": {}}})
    gone = OSError("Timed out trying to connect to tcp://gone:1 after 30 s")
    monkeypatch.setattr(cluster_check, "client_of", lambda _: client)
    monkeypatch.setattr(cluster_check, "workers_of_our_code", lambda *_: ["tcp://gone:1"])
    monkeypatch.setattr(cluster_check, "answers_of", lambda *_, workers, **__: dict.fromkeys(workers, gone))
    assert scored(scheduler="tcp://other:8786")["scored"] == 3


@pytest.mark.parametrize("work", ["scoring", "preparation"])
def test_what_is_written_is_no_other_with_each_release(
    scored: Score, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """Else partitions of rows are made anew, and an `--output` that is begun is refused."""
    asked: list[list[Path]] = []

    def hashed(*roots: str, but: tuple[str, ...] = ()) -> str:
        asked.append(files_of(*roots, but=but))
        return "c1"

    monkeypatch.setattr(scoring, "code_version", hashed)
    monkeypatch.setattr(preparation, "code_version", hashed)
    if work == "scoring":
        scored()
    else:
        monkeypatch.setattr(preparation, "each", lambda *_: [])
        tables = PartitionedTables(address="tables", version="0.parquet", parts=(), dask=DaskSettings())
        preparation.build_rows(tables, "dispatch")
    names = {path.name for path in asked[0]}
    assert f"{work}.py" in names
    assert not {"__about__.py", "kubernetes_manifest.py"} & names


def test_an_output_of_another_version_is_replaced_where_it_is_ours_and_else_named(
    scored: Score, tmp_path: Path
) -> None:
    scored()
    stale = tmp_path / "scored" / "year=2020" / "part-0000.parquet"
    stale.parent.mkdir()
    stale.touch()
    with pytest.raises(SettingsError, match=r"of another version \(1, now 2\), other --reasons \(none, now"):
        scored(version="2", explained="all")
    assert stale.exists()
    assert scored(version="2", replace=True)["model_version"] == "2"
    assert not stale.exists()
