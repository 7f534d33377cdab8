"""Checking tables: the quick look and pandera refuse the same, in the same words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from accidents.data import tables as checked
from accidents.data.tables import DTYPES, Tables, schema
from accidents.errors import DataError
from accidents.vocabulary.codes import TABLES

ID = 202100000001
COLUMNS = [(table, name) for table in TABLES for name in DTYPES[table]]
BOUND = [each for each in COLUMNS if checked._allowed(*each) is not None]  # others are free text
ONE_ROW_EACH = ("accidents", "places")


def usual(table: str) -> pd.DataFrame:
    """Three rows: one with a value in each column, one with a value that is missing, one with another."""

    def value(name: str) -> Any:
        allowed = checked._allowed(table, name)
        if name == "accident_id":
            return ID
        return "text" if allowed is None else allowed[0] if isinstance(allowed, list) else max(allowed)

    rows = {name: [value(name), None, value(name)] for name in DTYPES[table]}
    rows["accident_id"] = [ID, ID + 1, ID + 2]
    return pd.DataFrame({name: pd.Series(rows[name], dtype=dtype) for name, dtype in DTYPES[table].items()})


@pytest.fixture(scope="module")
def tables() -> Tables:
    return Tables(*map(usual, TABLES))


def refusal(check: Callable[[], object]) -> str:
    try:
        check()
    except DataError as error:
        return str(error)
    return ""


def told(tables: Tables, table: str) -> str:
    """What `validate` says, once it is known to be what pandera says."""
    said = refusal(tables.validate)
    assert said == refusal(lambda: checked._validate(table, getattr(tables, table)))
    return said


def with_column(tables: Tables, table: str, name: str, values: Any) -> Tables:
    return replace(tables, **{table: getattr(tables, table).assign(**{name: values})})


def test_good_tables_are_not_shown_to_pandera(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "_validate", lambda *_: pytest.fail("asked pandera"))
    assert tables.validate() is tables
    empty = Tables(*(getattr(tables, field.name).head(0) for field in fields(Tables)))
    empty.validate()


@pytest.mark.parametrize(("table", "name"), BOUND)
def test_a_value_beside_those_allowed_is_refused_as_pandera_refuses_it(
    tables: Tables, table: str, name: str
) -> None:
    dtype, allowed = DTYPES[table][name], checked._allowed(table, name)
    assert allowed is not None
    if dtype == "str":
        wrong: list[Any] = ["", "01x", "\N{ARABIC-INDIC DIGIT ONE}"]
    else:
        codes = allowed if isinstance(allowed, list) else []
        gaps = [code + 1 for code in codes if code + 1 not in codes]
        lowest, highest = (
            (-np.inf, np.inf) if "f" in dtype else (np.iinfo(dtype.lower()).min, np.iinfo(dtype.lower()).max)
        )
        beside = [min(allowed) - 1, max(allowed) + 1, *gaps, lowest, highest]
        wrong = [value for value in beside if lowest <= value <= highest and value not in allowed]
    for value in wrong:
        values = getattr(tables, table)[name].copy()
        values.iloc[-1] = value
        assert f"table {table}, column {name}: " in told(with_column(tables, table, name, values), table)


@pytest.mark.parametrize("table", TABLES)
def test_columns_of_another_type_or_order_are_refused_as_pandera_refuses_them(
    tables: Tables, table: str
) -> None:
    frame = getattr(tables, table)
    coded = next(name for name, dtype in DTYPES[table].items() if dtype == "Int8")
    assert told(with_column(tables, table, coded, frame[coded].astype("Int16")), table)
    assert told(with_column(tables, table, "other", 1), table)
    assert told(replace(tables, **{table: frame.drop(columns=coded)}), table)
    assert told(replace(tables, **{table: frame[[*frame.columns[1:], frame.columns[0]]]}), table)


@pytest.mark.parametrize("table", TABLES)
def test_an_accident_twice_is_refused_where_a_row_is_one(tables: Tables, table: str) -> None:
    twice = with_column(tables, table, "accident_id", [ID, ID, ID + 2])
    said = told(twice, table)
    assert ("accident_id" in said) == (table in ONE_ROW_EACH)


@pytest.mark.parametrize("table", TABLES)
def test_columns_where_nothing_is_known_are_good(tables: Tables, table: str) -> None:
    frame = getattr(tables, table)
    others = {name: dtype for name, dtype in DTYPES[table].items() if name != "accident_id"}
    empty = frame.assign(**{name: pd.Series([None] * 3, dtype=dtype) for name, dtype in others.items()})
    assert checked._is_valid(table, empty)
    schema(table).validate(empty, lazy=True)
