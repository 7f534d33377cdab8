"""What is said for a code or a time is read in one way, whoever reads it."""

from __future__ import annotations

from datetime import date, time

import pytest
from pydantic import ValidationError

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
