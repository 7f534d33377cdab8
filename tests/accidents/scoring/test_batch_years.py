"""Raw years as an input: the rows of the caracteristiques file, each scored or set aside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accidents.data.sources.settings import DataSettings
from accidents.errors import AccidentsError
from accidents.features import build_features
from accidents.scoring.batch import Intake, read_input
from accidents.scoring.score import input_features
from tests.accidents.raw_year import RawYear

DATA = DataSettings()


def read(year: RawYear, folder: Path) -> Intake:
    year.write(folder)
    return read_input(str(folder), DATA)


@pytest.mark.parametrize("year", [2013, 2021])
def test_every_accident_of_a_good_year_is_scored_with_the_features_of_training(
    tmp_path: Path, year: int
) -> None:
    raw = RawYear(year)
    intake = read(raw, tmp_path)
    assert intake.rows["row"].tolist() == [1, 2, 3]
    assert intake.rows["accident_id"].tolist() == [f"{year}0000000{k}" for k in (1, 2, 3)]
    assert intake.set_aside.empty
    tables, _ = raw.read(tmp_path)
    pd.testing.assert_frame_equal(
        input_features(intake, "on_scene"), build_features(tables, "on_scene"), check_dtype=False
    )


def test_a_copy_and_a_row_without_place_are_set_aside_under_their_row(tmp_path: Path) -> None:
    raw = RawYear(2021, accidents=5)
    rows = raw.rows["caracteristiques"]
    rows[2] = dict(rows[0])
    for column in ("dep", "com", "lat", "long"):
        rows[3][column] = ""
    intake = read(raw, tmp_path)
    assert intake.rows["row"].tolist() == [1, 2, 5]
    aside = dict(zip(intake.set_aside["row"], intake.set_aside["reason"], strict=True))
    assert aside.keys() == {3, 4}
    assert aside[3] == "an earlier row has the same accident id"
    assert aside[4].startswith("no place")
    features = input_features(intake, "dispatch")
    assert features["accident_id"].astype("str").tolist() == intake.rows["accident_id"].tolist()


def test_a_year_without_caracteristiques_has_no_accident_that_can_be_scored(tmp_path: Path) -> None:
    intake = read(RawYear(2021).drop("caracteristiques"), tmp_path)
    assert intake.rows.empty
    assert len(intake.set_aside) == 3
    assert input_features(intake, "dispatch").empty


def test_the_label_comes_with_the_year(tmp_path: Path) -> None:
    intake = read(RawYear(2021).set("usagers", "grav", "2", "4", "1"), tmp_path)
    np.testing.assert_array_equal(input_features(intake, "dispatch")["severe"], [1, 0, 0])


def test_a_file_that_holds_another_year_than_its_name_is_refused(tmp_path: Path) -> None:
    RawYear(2021).write(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.replace("2021", "2022")))
    with pytest.raises(AccidentsError, match="2021"):
        read_input(str(tmp_path), DATA)


@pytest.mark.realdata
@pytest.mark.parametrize(("year", "accidents", "without_place"), [(2013, 58_397, 0), (2018, 57_783, 1_917)])
def test_a_real_year_comes_out_whole(baac: Path, year: int, accidents: int, without_place: int) -> None:
    intake = read_input(str(baac / str(year)), DATA)
    assert (len(intake), len(intake.set_aside)) == (accidents, without_place)
    rows = sorted([*intake.rows["row"], *intake.set_aside["row"]])
    assert rows == list(range(1, accidents + 1))
    assert len(input_features(intake, "on_scene")) == accidents - without_place
