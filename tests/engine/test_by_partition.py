"""Tables, rows, places and predictions by partition are those of the whole."""

from __future__ import annotations

import json
import resource
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import psutil
import pytest

from accidents.bundle import write_bundle
from accidents.data.dataset import fetch_raw, versioned
from accidents.data.partition_files import (
    cut,
    part_name,
    read_manifest,
    read_part,
    read_together,
    write_manifest,
    write_part,
)
from accidents.data.quality import QualityReport
from accidents.data.reading import read_years
from accidents.data.sample_partitions import write_partitions
from accidents.data.sources import find_years
from accidents.data.sources.sample import write_sample
from accidents.data.sources.settings import DataSettings
from accidents.errors import DataError, SettingsError, SourceError
from accidents.evaluation.metrics import Alerts, EvaluationSettings
from accidents.features import build_features, feature_names
from accidents.scoring.batch import check_input
from accidents.training import baselines, place_encoder, tree_inputs
from accidents.training.drawn_rows import labelled_at_most
from accidents.training.fit_bags import boost, labelled, train
from accidents.training.model_settings import ModelSettings
from accidents.training.place_encoder import PlaceCounts, PlaceEncoder, cross_fit
from accidents.training.split import SplitSettings, split
from accidents.training.trained_model import Layout, matrix_of
from accidents.training.tree_inputs import LabelledRows
from engine import evaluation, preparation, reading, training
from engine.cluster import client_of
from engine.partitions import PartitionedRows, labelled_rows
from engine.scoring import score_tables
from engine.settings import DaskSettings
from engine.splitting import split_rows
from engine.tasks import PartitionError, each
from examples.mapped_scoring.pipeline import list_partitions
from steps.scoring.score_partitions import score_partitions
from tests.engine.conftest import ON_DASK

pytestmark = ON_DASK
YEARS = (2018, 2021, 2022)


@pytest.fixture(scope="module")
def raw_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    write_sample(folder, YEARS, 1_200)
    return folder


def add_accident_of(folder: Path, year: int, other: int) -> None:
    """Let the files of `year` hold an accident of `other` too, as a file that was published again does."""
    names = {path.name.partition(f"-{other}")[0].partition("_")[0]: path
             for path in (folder / str(other)).glob("*.csv")}  # fmt: skip
    for table, path in names.items():
        (target,) = [one for one in (folder / str(year)).glob("*.csv") if one.name.startswith(table)]
        lines = path.read_text(encoding="utf-8").splitlines()
        number = lines[1].partition(";")[0]
        added = [line for line in lines[1:] if line.startswith(number)]
        target.write_text("\n".join([*target.read_text(encoding="utf-8").splitlines(), *added]) + "\n")


def test_tables_rows_and_split_are_those_of_all_years_at_once(
    raw_folder: Path, tmp_path: Path, dask: DaskSettings
) -> None:
    add_accident_of(raw_folder, 2022, 2021)
    raw = versioned(find_years(raw_folder))
    tables, quality = read_years(raw.years)
    parted = preparation.read_tables(raw, dask)
    assert quality.count(rule="also in the files of another year, which are read") == 1
    assert len(parted) == len(tables.accidents)
    again, _ = read_together(parted.address, parted.parts)
    for table in ("accidents", "places", "vehicles", "users"):
        pd.testing.assert_frame_equal(getattr(again, table), getattr(tables, table), check_exact=True)
    assert parted.quality.to_json() == quality.to_json()

    whole, rows = build_features(tables, "on_scene"), preparation.build_rows(parted, "on_scene")
    assert len(rows.parts) == 9
    pd.testing.assert_frame_equal(reading.rows_at(rows.pieces, None), whole, check_exact=True)

    expected = split(whole, SplitSettings(), 7)
    parts, told = split_rows(rows, SplitSettings())
    assert told == expected.to_dict()
    for name, part in parts.items():
        wanted = whole[expected.mask(name)].reset_index(drop=True)
        pd.testing.assert_frame_equal(reading.rows_at(part.pieces, None), wanted, check_exact=True)
        at = np.random.default_rng(1).permutation(len(wanted))[:50]
        pd.testing.assert_frame_equal(
            reading.rows_at(part.pieces, at), wanted.iloc[at].reset_index(drop=True), check_exact=True
        )
    with pytest.raises(SettingsError, match="random"):
        split_rows(rows, SplitSettings(method="random"))


def test_places_counted_by_part_are_those_of_all(raw_folder: Path) -> None:
    tables, _ = read_years(find_years(raw_folder))
    rows = build_features(tables, "dispatch")
    names = tuple(rows.columns[4:])
    place = Layout(names).place(matrix_of(rows, names))
    severe = rows["severe"].to_numpy(np.float32)
    cuts = [0, 7, 7, 1_000, len(severe)]
    parts = [PlaceCounts.of(place[a:b], severe[a:b]) for a, b in pairwise(cuts)]
    whole, summed = PlaceEncoder.fit(place, severe), PlaceEncoder.of_counts(sum(parts[1:], parts[0]))
    assert whole.rate == summed.rate == float(severe.mean())
    for name, counts in whole.counts.items():
        np.testing.assert_array_equal(counts, summed.counts[name])
    np.testing.assert_array_equal(whole.transform(place), summed.transform(place))


def test_places_are_counted_some_at_a_time_and_each_fold_once(
    raw_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, _ = read_years(find_years(raw_folder))
    rows = build_features(tables, "dispatch")
    names = tuple(rows.columns[4:])
    place = Layout(names).place(matrix_of(rows, names))
    severe = rows["severe"].to_numpy(np.float32)
    fold = np.random.default_rng(3).integers(5, size=len(severe))
    expected = np.empty((len(severe), len(PlaceEncoder.columns)), dtype=np.float32)
    for held in (fold == k for k in range(5)):
        others = PlaceEncoder.fit(place[~held], severe[~held], scale=2 * 5 / 4)
        expected[held] = others.transform(place[held])
    monkeypatch.setattr(place_encoder, "STRETCH", 100)
    np.testing.assert_array_equal(cross_fit(place, severe, seed=3, scale=2), expected)
    none = PlaceCounts.of(place[:0], severe[:0])
    assert none.accidents == len(none.tables["cell"]) == 0


def test_a_bag_reads_partitions_in_stretches_and_grows_the_same_trees(
    raw_folder: Path, dask: DaskSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_inputs, "STRETCH", 900)  # not the size of a partition
    monkeypatch.setattr(tree_inputs, "SAMPLE", 2_000)
    raw = versioned(find_years(raw_folder))
    whole = build_features(read_years(raw.years)[0], "dispatch")
    parts = preparation.build_rows(preparation.read_tables(raw, dask), "dispatch")
    read = labelled_rows(parts.pieces, "dispatch")
    names = feature_names("dispatch")
    rows = LabelledRows.of(*labelled(whole, names), names)
    np.testing.assert_array_equal(read.place, rows.place)
    np.testing.assert_array_equal(read.read(400, 2_900), rows.read(400, 2_900))
    settings = ModelSettings(n_estimators=10, n_jobs=1)
    some = np.flatnonzero(np.arange(len(rows)) % 5 > 0)
    grown = [boost(each, some, settings, "dispatch", seed=1, bag=1).text for each in (read, rows)]
    assert grown[0] == grown[1]


def test_a_worker_knows_what_memory_it_has_for_a_bag(dask: DaskSettings) -> None:
    """Most of its 2 GiB; less where the system gives less."""
    client, gib = client_of(dask), 2**30
    assert 1.3 * gib < client.submit(training.memory_for_rows, pure=False).result() < 1.5 * gib
    assert client.submit(_memory_without_limit, pure=False).result() < psutil.virtual_memory().total
    for limit, kind in ((resource.RLIMIT_DATA, "data"), (resource.RLIMIT_AS, "vms")):
        assert client.submit(_memory_within, limit, kind, gib // 2, pure=False).result() < 0.5 * gib


def _memory_without_limit() -> float:
    """Return what all the machine's workers without a limit have, one a core."""
    from dask.system import CPU_COUNT
    from distributed import get_worker

    manager = get_worker().memory_manager
    limit, manager.memory_limit = manager.memory_limit, None
    try:
        return training.memory_for_rows() * CPU_COUNT
    finally:
        manager.memory_limit = limit


def _memory_within(limit: int, kind: str, more: int) -> float:
    """Return what is left where the system gives so many bytes more than this process has."""
    soft, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (getattr(psutil.Process().memory_info(), kind) + more, hard))
    try:
        return training.memory_for_rows()
    finally:
        resource.setrlimit(limit, (soft, hard))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_bag_that_went_by_column_is_told_as_that_of_one_process(raw_folder: Path, threads: int) -> None:
    """A worker's memory makes no other version."""
    names = feature_names("dispatch")
    rows = LabelledRows.of(
        *labelled(build_features(read_years(find_years(raw_folder))[0], "dispatch"), names), names
    )
    settings, every = ModelSettings(n_estimators=5, n_jobs=threads), np.arange(len(rows))
    here = boost(rows, every, settings, "dispatch", seed=1, bag=1).text
    alone = training._one_thread(settings)
    by_column = boost(rows, every, alone, "dispatch", seed=1, bag=1, memory=0).text
    assert "[force_col_wise: 1]" in by_column
    assert training._as_told(by_column, settings) == here


def test_bags_of_the_slow_kind_are_begun_first(dask: DaskSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []

    def noted(_: object, work: object, bags: list[tuple[str, Any]], what: str, **__: str) -> list[str]:
        named.extend(name for name, _ in bags)
        return [name for name, _ in bags]

    monkeypatch.setattr(training, "each", noted)
    rows = PartitionedRows(address="", stage="dispatch", parts=(), dask=dask)
    given = training._each_bag(rows, abs, ModelSettings(bags=5), "dispatch", 0, "Bags")
    assert named == ["bag 1", "bag 3", "bag 5", "bag 2", "bag 4"]
    assert given == ["bag 1", "bag 2", "bag 3", "bag 4", "bag 5"]


def parts_of(raw_folder: Path, dask: DaskSettings) -> tuple[list[PartitionedRows], list[pd.DataFrame]]:
    """Training, calibration and test rows of either engine."""
    raw = versioned(find_years(raw_folder))
    whole = build_features(read_years(raw.years)[0], "dispatch")
    cut, names = split(whole, SplitSettings(), 7), ("train", "calibration", "test")
    there, _ = split_rows(
        preparation.build_rows(preparation.read_tables(raw, dask), "dispatch"), SplitSettings()
    )
    return [there[name] for name in names], [whole[cut.mask(name)].reset_index(drop=True) for name in names]


def rows_given(searched: Any, *_: object) -> pd.DataFrame:
    return reading.rows_at(*searched)


def test_of_many_rows_both_engines_draw_the_same_for_baselines_and_trials(
    raw_folder: Path, dask: DaskSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (learnt, later, tested), frames = parts_of(raw_folder, dask)
    unlike = baselines.fit_baselines(*frames[:2], "dispatch", 7)["logistic_regression"](frames[2])
    for module in (baselines, training):  # workers draw as ever: they are given no more
        monkeypatch.setattr(module, "MOST_LEARNT", 700)
    there = training.score_baselines(learnt, later, tested, "dispatch", 7)
    for name, predict in baselines.fit_baselines(*frames[:2], "dispatch", 7).items():
        np.testing.assert_array_equal(there[name], predict(frames[2]))
    assert not np.array_equal(there["logistic_regression"], unlike), "all rows were learnt from"
    monkeypatch.setattr(training, "_tune_one", rows_given)
    given: Any = training.tune(learnt, ModelSettings(), "dispatch", 2, 7)
    drawn = labelled_at_most(frames[0], 700, 7).reset_index(drop=True)
    pd.testing.assert_frame_equal(given, drawn, check_exact=True)


def without_memory(*_: object) -> None:
    raise MemoryError


@pytest.mark.parametrize(
    "what", ["a bag", "a year", "trials", "a baseline", "a figure", "a slice", "a partition"]
)
def test_where_memory_is_short_what_helps_is_told(
    raw_folder: Path, tmp_path: Path, dask: DaskSettings, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    scores = tmp_path / "scores.parquet"
    pd.DataFrame({"severe": [0.0, 1.0] * 100, "model": np.linspace(0, 1, 200)}).to_parquet(scores)
    raw = versioned({2018: find_years(raw_folder)[2018]})
    rows = PartitionedRows(address="", stage="dispatch", parts=(), dask=dask)
    failing = [(preparation, "_read_one"), (training, "_tune_one"), (training, "_baseline")]
    failing.append((evaluation, "_evaluate_one" if what == "a figure" else "_evaluate_slice"))
    for module, name in failing:
        monkeypatch.setattr(module, name, without_memory)
    judged: Any = (str(scores), rows, (), EvaluationSettings(n_bootstrap=100), Alerts(0.5), 7)
    bag: Any = (rows, without_memory, ModelSettings(bags=1), "dispatch", 7, "Bags")
    work = {
        "a bag": lambda: training._each_bag(*bag),
        "a year": lambda: preparation.read_tables(raw, dask.model_copy(update={"partition_rows": 501})),
        "trials": lambda: training.tune(rows, ModelSettings(), "dispatch", 1, 7),
        "a baseline": lambda: training.score_baselines(rows, rows, rows, "dispatch", 7),
        "a figure": lambda: evaluation._measured(*judged),
        "a slice": lambda: evaluation._measured(*judged),
        "a partition": lambda: each(dask, without_memory, [("part-0000", ())], "Working"),
    }
    remedy = {"a bag": ", or raise `dask.workers_per_bag`", "a partition": ", or lower `dask.partition_rows`"}
    with pytest.raises(PartitionError) as told:
        work[what]()
    words = f"the worker has too little memory. Raise its limit{remedy.get(what, '')}."
    assert str(told.value).partition(": ")[2] == words


def test_predictions_by_partition_are_those_of_the_whole_and_none_is_there_twice(
    raw_folder: Path, tmp_path: Path, dask: DaskSettings
) -> None:
    raw = versioned({2018: find_years(raw_folder)[2018]})
    whole = build_features(read_years(raw.years)[0], "dispatch")
    model = train(whole[:800], whole[800:], ModelSettings(bags=1, n_estimators=5), "dispatch", 7)
    facts = {"name": "small", "stage": "dispatch", "threshold": 0.2}
    bundle = write_bundle(tmp_path / "bundle", model, facts, whole[:100], "# card")
    output = tmp_path / "scored"

    def scored(rows: int) -> dict[str, Any]:
        tables = preparation.read_tables(raw, dask.model_copy(update={"partition_rows": rows}))
        return score_tables(tables, bundle, "small", "1", "none", str(output))

    told = scored(500)
    found = pd.concat([pd.read_parquet(output / f"{part['name']}.parquet") for part in told["parts"]])
    assert len(told["parts"]) == 3
    assert told["rows"] == len(found) + told["set_aside"] == len(whole)
    of = dict(zip(whole["accident_id"].astype(str), model.predict_proba(whole), strict=True))
    np.testing.assert_array_equal(found["probability"], [of[one] for one in found["accident_id"]])
    with pytest.raises(SettingsError, match="of other partitions: name a new folder"):
        scored(300)
    assert scored(500) == told
    first = told["parts"][0]["name"]
    (output / f"{first}.parquet").unlink()
    note = output / f"{told['parts'][1]['name']}.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "made_of": "another run", "scored": 0}))
    again = scored(500)
    told["seconds_scoring"] = again["seconds_scoring"]
    assert again == told, "what is gone, or of a run that was ended, is made again"
    assert (output / f"{first}.parquet").exists()


def test_tables_that_are_gone_are_written_again(raw_folder: Path, dask: DaskSettings) -> None:
    raw = versioned({2018: find_years(raw_folder)[2018]})
    tables = preparation.read_tables(raw, dask)
    (Path(tables.address) / tables.parts[0].name / "users.parquet").unlink()
    assert preparation.read_tables(raw, dask) == tables
    read_part(tables.address, tables.parts[0])


def test_an_accident_in_two_partitions_is_refused(tmp_path: Path, dask: DaskSettings) -> None:
    address = str(tmp_path)
    (first, _) = write_partitions(address, (2021, 2022), accidents=200, processes=1)
    again = write_part(address, part_name(2022, 0), 2022, read_part(address, first), QualityReport())
    write_manifest(address, [first, again], synthetic=True)
    tables = preparation.open_tables(read_manifest(address), (2021, 2022), dask)
    with pytest.raises(DataError, match=r"is there more than once, and 199 others"):
        preparation.build_rows(tables, "dispatch")
    with pytest.raises(DataError, match=r"is there more than once, and 199 others"):
        score_partitions.entrypoint(
            address, read_manifest(address).version, DataSettings(), *[cast(Any, None)] * 3, "", False, dask
        )
    with pytest.raises(DataError, match=r"is there more than once, and 199 others"):
        list_partitions.entrypoint(address, read_manifest(address).version)
    with pytest.raises(DataError, match=r"holds 200 accidents, and the manifest says 100"):
        read_part(address, replace(first, accidents=100))


def test_a_torn_partition_is_named_and_nothing_looks_finished(tmp_path: Path, dask: DaskSettings) -> None:
    sample = tmp_path / "sample"
    write_partitions(str(sample), (2021, 2022), accidents=300, processes=1)
    torn = sample / part_name(2022, 0) / "users.parquet"
    torn.write_bytes(torn.read_bytes()[:500])
    tables = preparation.open_tables(read_manifest(str(sample)), (2021, 2022), dask)
    with pytest.raises(PartitionError, match=r"Partition year=2022/part-0000: .*users.parquet"):
        preparation.build_rows(tables, "dispatch")
    for _ in range(100):  # the other worker may still be at its own partition
        half_written = [path.name for path in Path(dask.folder).rglob("*") if path.name.startswith(".")]
        if not half_written:
            break
        time.sleep(0.1)
    assert half_written == [], "no file is left half-written"


def test_a_partition_that_was_written_again_is_not_taken_for_the_one_of_the_manifest(tmp_path: Path) -> None:
    address = str(tmp_path)
    (first, second) = write_partitions(address, (2021,), scale=2, accidents=200, processes=1)
    write_part(address, first.name, 2021, read_part(address, second), QualityReport())
    with pytest.raises(DataError, match="part-0000 was written again since its manifest"):
        read_part(address, first)
    other = replace(first, digest=second.digest)
    before = read_manifest(address).version
    write_manifest(address, [other, second], synthetic=True)
    assert read_manifest(address).version != before, "other content is another version of the data"


def test_partitions_without_a_manifest_are_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="its writing was not finished"):
        read_manifest(str(tmp_path))


def test_a_sample_in_partitions_has_ids_of_its_own_and_trains_like_any_source(tmp_path: Path) -> None:
    address = str(tmp_path / "sample")
    write_partitions(address, (2021,), scale=3, accidents=200, processes=1)
    raw = fetch_raw(DataSettings(source=address, years=(2021,)))
    assert raw.partitions is not None
    tables, _ = read_together(address, raw.partitions.parts)
    assert tables.validate().accidents["accident_id"].is_unique
    assert len(tables.accidents) == len(preparation.tables_of(raw, (2021,), DaskSettings())) == 600
    for given in ("2021", address):  # by --source or as such
        with pytest.raises(SourceError, match="holds partitions, which `engine: dask` scores"):
            check_input(given, DataSettings(source=address))
    with pytest.raises(SettingsError, match="another sample"):
        write_partitions(address, (2021,), scale=2, accidents=200, processes=1)
    with pytest.raises(SourceError, match=r"no partition of 2019. There are: 2021"):
        fetch_raw(DataSettings(source=address, years=(2019,)))


def test_partitions_that_wait_are_not_begun_when_one_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "year=2005").touch()
    with pytest.raises(OSError, match="year=2005"):
        write_partitions(str(tmp_path), range(2005, 2025), accidents=100, processes=1)
    assert not (tmp_path / "year=2024").exists()


def test_pieces_of_tables_are_the_tables(raw_folder: Path, tmp_path: Path) -> None:
    tables, _ = read_years({2018: find_years(raw_folder)[2018]})
    parts = []
    for at, piece in enumerate(cut(tables, 500)):
        parts.append(write_part(str(tmp_path), part_name(2018, at), 2018, piece, QualityReport()))
    write_manifest(str(tmp_path), parts, synthetic=True)
    again, _ = read_together(str(tmp_path), read_manifest(str(tmp_path)).parts)
    for table in ("accidents", "places", "vehicles", "users"):
        pd.testing.assert_frame_equal(getattr(again, table), getattr(tables, table))
