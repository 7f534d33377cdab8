"""What is said for a code or a time is read in one way, whoever reads it."""

from __future__ import annotations

from datetime import date, time

import pytest
from pydantic import ValidationError

from accidents.data.reading.cell_parsers import Cell
from accidents.data.reading.insee import parse_commune
from accidents.scoring.batch import row_parsers
from accidents.vocabulary.code_parser import codes_of
from accidents.vocabulary.codes import column
from accidents.vocabulary.times import read_time
from serving.api.http.validation_errors import Mistakes
from serving.api.schema.accident import Accident

SAID = [
    ("light", 1, 1), ("light", "1", 1), ("light", "01", 1), ("light", " 1 ", 1), ("light", 1.0, 1),
    ("light", "1.0", 1), ("light", "daylight", 1), ("light", "PLEIN  JOUR", 1), ("light", "", None),
    ("light", -1, None), ("light", "-1", None), ("weather", "pluie le\u0301ge\u0300re", 2),
    ("weather", "pluie legere", 2), ("weather", "0", None),
]  # fmt: skip
UNSAID = [("light", "purple"), ("light", "1.5"), ("light", 9), ("light", "x" * 100_000)]


@pytest.mark.parametrize(("name", "said", "code"), SAID)
def test_the_api_and_a_file_understand_the_same(name: str, said: str | float, code: int | None) -> None:
    place = {"department": "59"}
    asked = Accident.model_validate({"time": "2024-03-02T18:30", "place": place, name: said})
    assert getattr(asked, name) == code
    cell = row_parsers.code(column(name, "accidents"))(str(said))
    assert (cell.value, cell.action) == (code, None)


WHOLE = {"speed_limit": (10, 130), "lanes": (1, 19), "birth_year": (1890, 2100)}
# As pandas writes a column with gaps, as a spreadsheet, and as people do.
SAID_OTHERWISE = [
    ("speed_limit", 50, 50), ("speed_limit", 50.0, 50), ("speed_limit", "50", 50),
    ("speed_limit", " 050 ", 50), ("speed_limit", "50.0", 50), ("speed_limit", "50,", 50),
    ("speed_limit", "", None), ("speed_limit", -1, None), ("lanes", 2.0, 2), ("lanes", "2", 2),
    ("birth_year", 1980.0, 1980), ("birth_year", "1980", 1980), ("pedestrian", True, True),
    ("pedestrian", 1, True), ("pedestrian", 0.0, False), ("pedestrian", "oui", True),
    ("pedestrian", "No", False), ("pedestrian", "", None), ("commune", 69123, "69123"),
    ("commune", "2a004", "2A004"), ("commune", 1004, "01004"), ("commune", "69123.0", "69123"),
    ("commune", 123, "69123"), ("commune", "", None),
]  # fmt: skip
UNSAID_OTHERWISE = [
    ("speed_limit", 131, "not between 10 and 130"), ("speed_limit", "50 km/h", "not a whole number"),
    ("speed_limit", 50.5, "not a whole number"), ("lanes", 0, "not between 1 and 19"),
    ("birth_year", 80, "not between 1890 and 2100"), ("pedestrian", 2, "not 1 or 0"),
    ("pedestrian", "maybe", "not 1 or 0"), ("commune", "693456", "not a commune code"),
    ("commune", "2C004", "not a commune code"),
]  # fmt: skip


def asked(name: str, said: object) -> object:
    """What the API takes it for."""
    place: dict[str, object] = {"department": "69"} if name != "commune" or said != "2a004" else {}
    body: dict[str, object] = {"time": "2024-03-02T18:30", "place": place}
    if name == "commune":
        given = Accident.model_validate(body | {"place": place | {name: said}})
        return given.place.commune
    if name == "birth_year":
        given = Accident.model_validate(body | {"users": [{name: said}]})
        return given.users[0].birth_year if given.users else None
    return getattr(Accident.model_validate(body | {name: said}), name)


def read(name: str, said: object) -> Cell:
    """What a file's reader takes it for."""
    if name == "commune":
        return parse_commune(str(said), "69")
    parse = row_parsers.yes_or_no if name == "pedestrian" else row_parsers.whole(name, *WHOLE[name])
    return parse(str(said))


@pytest.mark.parametrize(("name", "said", "value"), SAID_OTHERWISE)
def test_the_api_and_a_file_understand_the_same_numbers_and_words(
    name: str, said: object, value: object
) -> None:
    assert asked(name, said) == value
    assert read(name, said) == Cell(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "said", "rule"), UNSAID_OTHERWISE)
def test_the_api_and_a_file_refuse_the_same_numbers_and_words(name: str, said: object, rule: str) -> None:
    with pytest.raises(ValidationError) as refused:
        asked(name, said)
    shown = repr(said) if isinstance(said, str) else said
    assert f"{shown} is {rule}; send " in str(Mistakes().of(Accident, refused.value))
    assert read(name, said) == Cell(None, "blanked", rule)


@pytest.mark.parametrize(("name", "said"), UNSAID)
def test_the_api_and_a_file_refuse_the_same(name: str, said: str | float) -> None:
    with pytest.raises(ValidationError) as refused:
        Accident.model_validate({"time": "2024-03-02T18:30", "place": {"department": "59"}, name: said})
    assert "is not a light" in str(Mistakes().of(Accident, refused.value))
    assert row_parsers.code(column(name, "accidents"))(str(said)).action == "blanked"


@pytest.mark.parametrize("said", ["2A", "2a", " 2A", "corse-du-sud", "Corse-du-Sud"])
def test_departments_are_codes_or_names(said: str) -> None:
    assert codes_of("department", "accidents").read(said) == "2A"
    assert {codes_of("department", "accidents").read(one) for one in ("1", 1, "01")} == {"01"}


@pytest.mark.parametrize(
    "text",
    ["2026-11-20T18:40", "2026-11-20 18:40", "2026-11-20T18:40:59", "2026-11-20T18:40:59.123456",
     "2026-11-20t18:40:59,5", " 2026-11-20  18:40 "],
)  # fmt: skip
def test_times_of_any_program_are_the_same_time(text: str) -> None:
    found = read_time(text)
    assert (found.date, found.wrong) == (date(2026, 11, 20), "")
    assert found.time is not None
    assert found.time.replace(second=0) == time(18, 40)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("2026-11-20T18:40Z", "has an offset"),
        ("2026-11-20T18:40:00.5+0100", "has an offset"),
        ("20/11/2026 18:40", "not a time"),
        ("2026-02-30T10:00", "not a date of the calendar"),
        ("2026-02-20T24:00", "not an hour of the day"),
        ("\u0662026-11-20T18:40", "not a time"),
    ],
)
def test_what_is_wrong_with_a_time_is_said(text: str, wrong: str) -> None:
    assert read_time(text).wrong.startswith(wrong)
