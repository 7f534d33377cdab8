"""The years and the version that a training is promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from accidents.data import dataset
from accidents.data.dataset import RawData
from accidents.data.sample_partitions import write_partitions
from accidents.data.sources import YearFiles
from accidents.errors import SettingsError
from accidents.params import Params, load_params
from commands import raw_files
from commands.raw_files import hand_over, hand_over_input, raw_data, require_seen
from engine.settings import DaskSettings
from pipelines import runs
from pipelines.identity import made_from
from tests.conftest import ROOT


def params(**data: object) -> Params:
    return load_params(ROOT / "params.yaml", {f"data.{key}": value for key, value in data.items()})


def test_of_one_manifest_other_years_are_another_version(tmp_path: Path) -> None:
    write_partitions(str(tmp_path), (2021, 2022), accidents=200, processes=1)
    one, both = (raw_data(params(source=str(tmp_path), years=years)) for years in ([2021], [2021, 2022]))
    assert one[1] == both[1]
    assert made_from(*one).identity != made_from(*both).identity


def test_bags_that_workers_share_are_another_version(tmp_path: Path) -> None:
    write_partitions(str(tmp_path), (2021,), accidents=200, processes=1)
    of = raw_data(params(source=str(tmp_path), years=[2021]))
    assert made_from(*of, DaskSettings()).identity == made_from(*of).identity
    two, three = (made_from(*of, DaskSettings(workers_per_bag=n)).identity for n in (2, 3))
    assert len({made_from(*of).identity, two, three}) == 3


def test_without_years_a_data_version_is_all_that_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    held = RawData({2018: YearFiles(2018), 2019: YearFiles(2019)}, "0.dir", synthetic=False)
    monkeypatch.setattr(dataset, "fetch_raw", lambda settings: held)
    asked = params(version="0" * 32 + ".dir", years=[])
    promised, version = raw_data(asked)
    assert made_from(promised, version).years == (2018, 2019)


def test_a_folder_of_this_machine_is_refused_where_steps_run_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs, "elsewhere", lambda: True)
    with pytest.raises(SettingsError, match=r"--output /srv/big: .*such as s3://bucket/folder"):
        require_seen("--output", "/srv/big")
    require_seen("--output", "s3://bucket/big")
    monkeypatch.setattr(runs, "elsewhere", lambda: False)
    require_seen("--output", "/srv/big")


def test_partitions_are_not_pushed_and_a_relative_source_is_of_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_partitions("big", (2021,), accidents=100, processes=1)
    promised, version = raw_data(params(source="big", years=[2021]))
    found = dataset.fetch_raw(promised.data).partitions
    assert found is not None
    assert found.address == str(tmp_path / "big")
    monkeypatch.setattr(raw_files, "_push", lambda _: pytest.fail("there is nothing for DVC"))
    monkeypatch.setattr(runs, "elsewhere", lambda: True)
    with pytest.raises(SettingsError, match="--source big: the steps of this stack run elsewhere"):
        hand_over(version, promised)
    monkeypatch.setattr(raw_files, "is_remote", lambda _: True)  # as if it were in a store
    hand_over(version, promised)
    assert hand_over_input("2021", promised.data) == version
