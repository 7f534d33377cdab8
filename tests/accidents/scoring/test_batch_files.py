"""Files of accidents: every row comes out once, scored or set aside; what is wrong is said."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from accidents.data.sources.settings import DataSettings
from accidents.errors import AccidentsError, DataError, SourceError
from accidents.features import build_one, feature_names
from accidents.scoring.batch import Intake, check_input, name_of, read_input
from accidents.scoring.batch.people import KINDS
from accidents.scoring.score import input_features

DATA = DataSettings()
GOOD = {"time": "2024-03-02T18:30", "latitude": "48.85", "longitude": "2.35"}


def written(folder: Path, rows: list[dict[str, str]], separator: str = ",", encoding: str = "utf-8") -> Path:
    """A CSV file of these rows; a column that a row lacks is empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, delimiter=separator, restval="")
    writer.writeheader()
    writer.writerows(rows)
    path = folder / "accidents.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def read(folder: Path, *rows: dict[str, str], **how: str) -> Intake:
    return read_input(str(written(folder, list(rows), **how)), DATA)


# Line breaks, which may open a row of their own, are the matter of test_delimited.
cells = st.one_of(
    st.text(st.characters(codec="latin-1", exclude_characters="\0\r\n"), max_size=12),
    st.sampled_from([
        "", "-1", "1", "7.0", "99999999999999999999", "nan", "inf", "1e400", "1900-01-01T00:00", "48,85",
        "75", "2024-02-30T25:61", "2024-03-02T18:30", "2A", "daylight", "[", "[1]", "[{}]", "[[[[", "true",
        '[{"category": {"a": 1}}]', '[{"category": NaN, "colour": 2}]',
    ]),
)  # fmt: skip
names = st.sampled_from(
    ["time", "hour", "day", "month", "year", "latitude", "longitude", "department", "commune", "light",
     "lanes", "speed_limit", "pedestrian", "vehicles", "users", "cars", "accident_id", "row", "notes",
     "colour", "reason", "given_row"]
)  # fmt: skip


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_row_comes_out_once_scored_or_set_aside(data: st.DataObject) -> None:
    header = ["time", "department", *data.draw(st.lists(names, unique=True, max_size=8))]
    header = list(dict.fromkeys(header))
    records = data.draw(
        st.lists(st.lists(cells, min_size=1, max_size=len(header) + 1), min_size=1, max_size=8)
    )
    assume(not any(len(row) == 1 and row[0].isspace() for row in records))  # a blank line is no row: below
    separator, encoding = data.draw(st.sampled_from(",;\t")), data.draw(st.sampled_from(["utf-8", "latin-1"]))
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows([header, *records])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.csv"
        path.write_bytes(text.getvalue().encode(encoding))
        intake = read_input(str(path), DATA)
    scored, aside = intake.rows["row"].tolist(), intake.set_aside["row"].tolist()
    assert sorted(scored + aside) == list(range(1, len(records) + 1))
    assert scored == sorted(scored)
    assert aside == sorted(aside)
    assert (intake.set_aside["reason"] != "").all()
    features = input_features(intake, "on_scene")
    assert len(features) == len(scored)
    assert np.isfinite(features[list(feature_names("on_scene"))].to_numpy()).any(axis=1).all()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_row_of_empty_cells_is_one(tmp_path: Path, separator: str) -> None:
    (tmp_path / "any.csv").write_text(f"time{separator}department\n{separator}\n")
    assert read_input(str(tmp_path / "any.csv"), DATA).set_aside["row"].tolist() == [1]


def test_a_row_has_the_features_that_serving_computes(tmp_path: Path) -> None:
    vehicles = [{"category": 7, "moving_obstacle": 2, "impact": 1}, {"category": 33, "fixed_obstacle": 2}]
    users = [{"role": 1, "sex": 2, "birth_year": 1980}, {"role": 3, "seat": 10}]
    coded = {"light": 5, "weather": 2, "built_up": 2, "junction": 3, "road_class": 4, "layout": 2, "lanes": 2,
             "reserved_lane": 1, "gradient": 1, "alignment": 1, "surface": 2, "infrastructure": 0,
             "speed_limit": 50, "collision": 3}  # fmt: skip
    place = {"department": "59", "commune": "59350", "latitude": 50.63, "longitude": 3.06}
    when = {"year": 2024, "month": 3, "day": 2, "hour": 18, "minute": 30}
    row = {name: str(value) for name, value in (coded | place | when).items()}
    intake = read(tmp_path, row | {"vehicles": json.dumps(vehicles), "users": json.dumps(users)})
    assert intake.rows["notes"].tolist() == [""]
    for stage in ("dispatch", "on_scene"):
        expected = build_one(coded | place | when | {"vehicles": vehicles, "users": users}, stage)
        found = input_features(intake, stage).iloc[0]
        np.testing.assert_equal({name: float(found[name]) for name in expected}, expected)


def test_counts_stand_for_vehicles(tmp_path: Path) -> None:
    intake = read(tmp_path, GOOD | {"cars": "2", "motorcycles": "1", "pedestrian": "yes"}, GOOD)
    features = input_features(intake, "dispatch")
    assert features.loc[0, ["vehicles", "cars", "motorcycles", "bicycles"]].tolist() == [3, 2, 1, 0]
    assert features.loc[0, ["lightest", "heaviest", "pedestrian"]].tolist() == [3, 4, 1]
    assert features.loc[1, ["vehicles", "cars", "lightest", "pedestrian"]].isna().all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "other_vehicles"])
def test_a_counted_vehicle_is_of_its_kind(tmp_path: Path, kind: str) -> None:
    features = input_features(read(tmp_path, GOOD | {kind: "1"}), "dispatch")
    assert features.loc[0, ["vehicles", kind]].tolist() == [1, 1]


@pytest.mark.parametrize(
    "text", ["3", "03", "3.0", "Night, no street lighting", "NUIT sans éclairage public"]
)
def test_codes_and_words_are_understood(tmp_path: Path, text: str) -> None:
    for encoding in ("utf-8", "latin-1"):
        intake = read(tmp_path, GOOD | {"light": text}, separator=";", encoding=encoding)
        assert intake.tables.accidents["light"].tolist() == [3]
        assert intake.rows["notes"].tolist() == [""]


@pytest.mark.parametrize(
    ("cell", "note"),
    [
        ({"light": "purple"}, "light 'purple': not in the code list"),
        ({"speed_limit": "fast"}, "speed_limit 'fast': not a whole number"),
        ({"cars": "-3"}, "cars '-3': not between 0 and 99"),
        ({"pedestrian": "perhaps"}, "pedestrian 'perhaps': not 1 or 0"),
        ({"time": "2024-02-30T18:30"}, "time '2024-02-30T18:30': not a date of the calendar"),
        ({"time": "1900-01-01T18:30"}, "time '1900-01-01T18:30': the year is not between 2005"),
        ({"latitude": "10", "longitude": "10"}, "coordinates '(10.0, 10.0)': outside of France"),
        ({"commune": "7505600"}, "commune '7505600': not a commune code"),
        ({"vehicles": "[{]"}, "vehicles '[{]': not a JSON list"),
        ({"vehicles": '[{"category": "spaceship"}]'}, "vehicles.category 'spaceship': not in the code list"),
        ({"users": '["me"]'}, "users 'me': not an object"),
    ],
)
def test_a_bad_cell_is_blanked_counted_and_noted_and_the_row_is_scored(
    tmp_path: Path, cell: dict[str, str], note: str
) -> None:
    intake = read(tmp_path, GOOD | {"department": "75"} | cell)
    assert intake.set_aside.empty
    assert note in intake.rows["notes"][0]
    assert sum(intake.facts["blanked"].values()) == 1


def test_what_can_be_put_right_is_and_is_noted(tmp_path: Path) -> None:
    intake = read(tmp_path, GOOD | {"speed_limit": "500", "latitude": "2.35", "longitude": "48.85"})
    place = intake.tables.accidents[["latitude", "longitude"]].to_numpy().tolist()
    assert (place, intake.tables.places["speed_limit"].tolist()) == ([[48.85, 2.35]], [50])
    assert "read as 50" in intake.rows["notes"][0]
    assert "swapped" in intake.rows["notes"][0]


def test_rows_without_time_or_place_and_broken_rows_are_set_aside_with_their_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "time,department,colour\n,75,red\n2024-03-02T18:30,,blue\n1,2,3,4\n2024-03-02T18:30,75,x\n"
    )
    intake = read_input(str(path), DATA)
    assert intake.rows["row"].tolist() == [4]
    assert [reason[:8] for reason in intake.set_aside["reason"]] == ["no time:", "no place", "the row "]
    assert intake.set_aside["colour"].tolist() == ["red", "blue", ""]
    assert intake.rows["colour"].tolist() == ["x"]
    assert "colour" in intake.facts["warnings"][0]


@pytest.mark.parametrize("offset", ["Z", "+00:00", "-04:00"])
def test_a_time_with_an_offset_is_not_taken_for_local(tmp_path: Path, offset: str) -> None:
    intake = read(tmp_path, GOOD | {"time": f"2024-03-02T18:30:00{offset}"}, GOOD)
    assert intake.rows["row"].tolist() == [2]
    assert offset in intake.set_aside["reason"][0]


def test_coordinates_alone_tell_the_department_as_in_the_api(tmp_path: Path) -> None:
    place = {"latitude": "50.63", "longitude": "3.06", "department": "", "commune": ""}
    intake = read(tmp_path, GOOD | place)
    assert intake.tables.accidents["department"].tolist() == ["59"]


def test_a_repeated_id_is_scored_and_noted(tmp_path: Path) -> None:
    intake = read(tmp_path, *(GOOD | {"accident_id": name} for name in ("a", "b", "a", "", "")))
    assert intake.rows["notes"].tolist() == ["", "", "row 1 has the same accident_id", "", ""]
    assert intake.rows["accident_id"].isna().tolist() == [False, False, False, True, True]


def test_columns_named_as_ours_keep_their_content_under_another_name(tmp_path: Path) -> None:
    intake = read(tmp_path, GOOD | {"row": "r7", "alert": "no", "notes": "wet", "given_notes": "cold"})
    kept = intake.rows[["given_row", "given_alert", "given_given_notes", "given_notes"]]
    assert kept.to_numpy().tolist() == [["r7", "no", "wet", "cold"]]


def test_parquet_and_gzip_give_what_csv_gives(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"accident_id": "a", "time": pd.Timestamp("2024-03-02T18:30"), "latitude": 48.85, "longitude": 2.35,
         "light": 5, "pedestrian": True, "vehicles": [{"category": 7}, {"category": 33}]},
        {"accident_id": "b", "time": pd.Timestamp("2024-03-03T06:00"), "latitude": None, "longitude": None,
         "light": None, "pedestrian": None, "vehicles": []},
    ]  # fmt: skip
    pd.DataFrame(rows).assign(department=["75", "2A"]).to_parquet(tmp_path / "a.parquet")
    text = 'accident_id,time,latitude,longitude,light,pedestrian,vehicles,department\n' \
        'a,2024-03-02 18:30:00,48.85,2.35,5,1,"[{""category"": 7}, {""category"": 33}]",75\n' \
        "b,2024-03-03T06:00,,,,,,2A\n"  # fmt: skip
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    found = [read_input(str(tmp_path / name), DATA) for name in ("a.parquet", "a.csv.gz")]
    frames = [input_features(intake, "dispatch") for intake in found]
    pd.testing.assert_frame_equal(*frames)
    assert frames[0].loc[0, ["hour", "vehicles", "motorcycles", "pedestrian"]].tolist() == [18, 2, 1, 1]
    assert [intake.rows["notes"].tolist() for intake in found] == [["", ""]] * 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b" \n\n", "is empty"),
        ("a.csv", b"time,department\n", "no rows"),
        ("a.csv", "time,department\n\u00a0\n \n\u2003".encode(), "no rows"),
        ("a.csv", b"2024-03-02T18:30,75\n2024-03-02T19:30,75\n", "no column of its header is known"),
        ("a.csv", b"light,department\n1,75\n", "no column that tells the time"),
        ("a.csv", b"time,light\n2024-03-02T18:30,1\n", "no column that tells the place"),
        ("a.csv", b"time,time,department\n1,2,3\n", "two columns are called time"),
        ("a.csv", b'time,"department\n1,2,3\n', "line 1: a quotation mark in the header is not closed. Put"),
        ("a.csv", b"'time','department'\n'1','2'\n", "in double quotes or none"),
        ("a.csv", b"PK\x03\x04\0\0\0", "an archive or an office document that is damaged"),
        ("a.csv", "time".encode("utf-16"), "is not text in UTF-8 or Latin-1, perhaps UTF-16. Save it as CSV"),
        ("a.csv.gz", b"\x1f\x8b\x08 cut short", "cannot be read"),
        ("a.parquet", b"time,department\n", "cannot be read as Parquet"),
        ("a.xlsx", b"PK", "accidents are read from files that end in .csv"),
        ("caracteristiques-2022.csv", b"Num_Acc", "give the folder"),
    ],
)
def test_what_is_no_file_of_accidents_is_refused_in_plain_words(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_input(str(tmp_path / name), DATA)


@pytest.mark.parametrize("given_input", ["no/such/file.csv", "1999", "20222"])
def test_what_is_not_there_is_said_before_anything_starts(given_input: str) -> None:
    data = DATA.model_copy(update={"source": "data.gouv"})
    with pytest.raises(AccidentsError):
        check_input(given_input, data)


def test_a_folder_without_one_published_year_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no published files"):
        check_input(str(tmp_path), DATA)
    for year in (2021, 2022):
        (tmp_path / f"usagers-{year}.csv").write_text("Num_Acc")
    with pytest.raises(SourceError, match="2021, 2022"):
        check_input(str(tmp_path), DATA)


def test_the_output_is_named_after_the_input() -> None:
    assert [name_of(one) for one in ("2022", "a/b.csv.gz", "b.PARQUET", "x/2021/")] == [
        "2022",
        "b",
        "b",
        "2021",
    ]


def test_an_intake_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    intake = read(tmp_path, GOOD | {"accident_id": "a", "colour": "red"}, {"time": "x"})
    (tmp_path / "saved").mkdir()
    intake.save(tmp_path / "saved")
    again = Intake.load(tmp_path / "saved")
    pd.testing.assert_frame_equal(again.rows, intake.rows)
    pd.testing.assert_frame_equal(again.set_aside, intake.set_aside)
    pd.testing.assert_frame_equal(input_features(again, "on_scene"), input_features(intake, "on_scene"))
    assert again.facts == intake.facts
