"""Requests become the matrix they mean, or an error that names the input, the row and what is right."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.runtime.tensors import MAX_ROWS, RequestError, TensorReader

DECLARED = [
    {"name": "hour", "kind": "number", "codes": []},
    {"name": "light", "kind": "category", "codes": [1, 2, 3, 4, 5]},
    {"name": "commune", "kind": "category", "codes": []},
    {"name": "pedestrian", "kind": "flag", "codes": []},
]
READER = TensorReader(DECLARED)
NAMES = list(READER.features)


def tensor(
    name: str, data: Any, shape: list[int] | None = None, datatype: str = "FP32", **parameters: Any
) -> Any:
    return SimpleNamespace(
        name=name,
        data=data,
        shape=[len(data)] if shape is None else shape,
        datatype=datatype,
        parameters=SimpleNamespace(**parameters),
    )


def columns(**changed: Any) -> list[Any]:
    """A tensor a feature, two rows."""
    data = {"hour": [8.5, None], "light": [1, 5], "commune": [59350, None], "pedestrian": [0, 1]} | changed
    return [tensor(name, values) for name, values in data.items()]


def matrix(data: Any, shape: list[int], names: Any = NAMES, datatype: str = "FP64") -> list[Any]:
    return [tensor("features", data, shape, datatype, columns=names)]


EXPECTED = np.array([[8.5, 1, 59350, 0], [np.nan, 5, np.nan, 1]], dtype=np.float32)
ROWS = [[8.5, 1, 59350, 0], [None, 5, None, 1]]
FLAT = [*ROWS[0], *ROWS[1]]


@pytest.mark.parametrize(
    "inputs",
    [
        columns(),
        columns()[::-1],
        matrix(FLAT, [2, 4]),
        matrix(ROWS, [2, 4]),
        matrix([row[::-1] for row in ROWS], [2, 4], NAMES[::-1]),
        matrix(FLAT, [2, 4], json.dumps(NAMES)),
        [tensor(one.name, [[v] for v in one.data], [2, 1]) for one in columns()],
        [tensor("pedestrian", [False, True], datatype="BOOL"), *columns()[:3]],
        [tensor("light", [1, 5], datatype="UINT8"), *(c for c in columns() if c.name != "light")],
    ],
)
def test_every_form_gives_the_same_matrix(inputs: list[Any]) -> None:
    read = READER.read(inputs)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, EXPECTED)


def test_each_matrix_is_read_by_its_own_columns() -> None:
    reader = TensorReader(DECLARED)
    turned = [row[::-1] for row in ROWS]
    for inputs in (matrix(turned, [2, 4], NAMES[::-1]), matrix(ROWS, [2, 4])) * 2:
        np.testing.assert_array_equal(reader.read(inputs), EXPECTED)
        with pytest.raises(RequestError, match="Missing: hour"):
            reader.read(matrix(ROWS, [2, 4], []))
        with pytest.raises(RequestError, match="'light' is there twice"):
            reader.read(matrix(ROWS, [2, 4], ["light", *NAMES[1:]]))


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (columns()[1:], "Missing: hour"),
        ([*columns(), tensor("lihgt", [1, 1])], "Did you mean 'light'"),
        ([*columns(), tensor("hour", [1, 1])], "'hour' is there twice"),
        ([], "Missing: hour, light, commune, pedestrian"),
        (columns(hour=[1.0, math.nan]), "Input 'hour', row 1"),
        (columns(hour=[math.inf, 1]), "Input 'hour', row 0: inf is out of the range"),
        (columns(hour=[1, 1e39]), "Input 'hour', row 1"),
        (columns(hour=["8.5", 1]), "Input 'hour', row 0: '8.5' is no FP32 value"),
        (columns(hour=[True, 1]), "Input 'hour', row 0: True is no FP32 value"),
        (columns(hour=[1, 10**400]), "out of the range"),
        (columns(hour=[1, [2]]), r"Input 'hour', row 1: \[2\]"),
        (columns(hour=[1, {}]), "Input 'hour', row 1"),
        (columns(hour={"a": 1}), "data is to be a list"),
        (columns(light=[1]), r"'light': shape \[1\] is wrong; it is \[2\] or \[2, 1\]"),
        (columns(light=[1, 6]), "Input 'light', row 1: 6 is not one of the codes 1, 2, 3, 4, 5"),
        (columns(light=[-1, 1]), "Input 'light', row 0: -1"),
        (columns(light=[1.5, 1]), "Input 'light', row 0: 1.5"),
        (columns(commune=[1, 0.5]), "Input 'commune', row 1: 0.5 is not a whole number"),
        (columns(pedestrian=[2, 0]), "Input 'pedestrian', row 0: 2 is not one of the codes 0, 1"),
        ([tensor("hour", [1, 2], [2], "BYTES"), *columns()[1:]], "datatype 'BYTES' is wrong"),
        ([tensor("hour", [1, 300], [2], "INT8"), *columns()[1:]], "row 1: 300 is out of the range of INT8"),
        ([tensor("hour", [1, 2.5], [2], "INT8"), *columns()[1:]], "row 1: 2.5 is no INT8 value"),
        ([tensor("hour", [1, 2], [2], "BOOL"), *columns()[1:]], "row 0: 1 is no BOOL value"),
        ([tensor("hour", [1, 2], [3]), *columns()[1:]], "2 values do not fill the shape"),
        ([tensor("hour", [], []), *columns()[1:]], "a request has 1 to"),
        ([tensor("hour", [], [0]), *columns()[1:]], "a request has 1 to"),
        ([tensor("hour", [1], [-1]), *columns()[1:]], "a request has 1 to"),
        (columns(hour=[1] * (MAX_ROWS + 1)), "a request has 1 to"),
        (matrix(FLAT, [2, 4], None), "needs the parameter 'columns'"),
        (matrix(FLAT, [2, 4], "not JSON"), "needs the parameter 'columns'"),
        (matrix(FLAT, [2, 4], [1, 2, 3, 4]), "needs the parameter 'columns'"),
        (matrix(FLAT, [2, 4], [*NAMES[:3], "speed"]), "'speed' is no feature"),
        (matrix(FLAT, [2, 4], [*NAMES[:3], "hour"]), "'hour' is there twice"),
        (matrix(FLAT[:6], [2, 3], NAMES[:3]), "Missing: pedestrian"),
        (matrix(FLAT, [8]), r"it is \[rows, 4\]"),
        (matrix(FLAT, [2, 5]), r"it is \[rows, 4\]"),
        (matrix(FLAT[:-1], [2, 4]), "7 values do not fill the shape"),
        (matrix([ROWS[0], ROWS[1][:3]], [2, 4]), "row 1: 3 values instead of 4"),
        (matrix([*FLAT[:-1], 7], [2, 4]), "Input 'pedestrian', row 1: 7"),
        (matrix([*FLAT[:-1], "x"], [2, 4]), "row 1, column 'pedestrian': 'x'"),
        ([*matrix(FLAT, [2, 4]), tensor("hour", [1, 1])], "send no other input beside it"),
    ],
)
def test_what_is_wrong_is_named(inputs: list[Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        READER.read(inputs)


def test_nan_is_missing_only_where_it_is_said_to_be() -> None:
    read = READER.read(columns(hour=[8.5, math.nan]), nan_is_missing=True)
    np.testing.assert_array_equal(read, EXPECTED)
    with pytest.raises(RequestError, match="inf is out of the range"):
        READER.read(columns(hour=[8.5, math.inf]), nan_is_missing=True)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=12,
)
TENSOR = st.builds(
    lambda name, data, shape, datatype, columns: tensor(name, data, shape, datatype, columns=columns),
    st.sampled_from([*NAMES, "features"]) | st.text(max_size=5),
    st.lists(ANYTHING, max_size=8) | ANYTHING,
    st.lists(st.integers(-1, 9), max_size=3),
    st.sampled_from(["FP32", "FP64", "INT64", "UINT8", "BOOL", "BYTES", "X"]),
    st.just(NAMES) | ANYTHING,
)


@given(st.lists(TENSOR, max_size=5))
def test_anything_at_all_is_read_or_refused(inputs: list[Any]) -> None:
    with suppress(RequestError):
        read = READER.read(inputs)
        assert read.shape[1] == len(NAMES)
        assert not np.isinf(read).any()


@given(st.lists(st.none() | st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
def test_numbers_arrive_as_they_were_sent(sent: list[float | None]) -> None:
    others = {"light": [None] * len(sent), "commune": [None] * len(sent), "pedestrian": [None] * len(sent)}
    read = READER.read([tensor("hour", sent), *(tensor(k, v) for k, v in others.items())])
    np.testing.assert_array_equal(read[:, 0], np.array(sent, dtype=np.float32))
