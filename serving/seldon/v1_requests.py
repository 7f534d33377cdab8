"""Seldon's v1 protocol, as far as a bundle needs it: what a message says of accidents, or what is wrong.

    {"data": {"names": [FEATURE, ...], "ndarray": [[NUMBER or null, ...], ...]}}      null is not known
    {"data": {"names": [FEATURE, ...], "tensor": {"shape": [ROWS, FEATURES], "values": [NUMBER or NaN, ...]}}}

Values are checked as the V2 runtime checks them, and so as they were sent: an array of NumPy, which Seldon's
server would make of them, turns a number beside a word into a word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from serving.runtime.tensors import MATRIX, RequestError


class Columns(NamedTuple):
    """What the columns of a matrix hold."""

    columns: list[Any]


@dataclass
class Matrix:
    """All features of some accidents, as the V2 runtime takes them."""

    shape: list[int]
    data: list[Any]
    parameters: Columns
    name: str = MATRIX
    datatype: Literal["FP64"] = "FP64"


class Missing(NamedTuple):
    """What stands for "not known" beside null."""

    missing: str


@dataclass
class PredictRequest:
    """A message that asks for P(severe)."""

    inputs: list[Matrix]
    parameters: Missing | None = None
    id: str | None = None
    outputs: None = None


def read_request(message: Any) -> PredictRequest:
    """Return what a message asks. Raises RequestError naming what is wrong with it."""
    if not isinstance(message, Mapping):
        raise RequestError('A message is a JSON object: {"data": {"names": [...], "ndarray": [[...]]}}.')
    meta, data = message.get("meta"), message.get("data")
    if not isinstance(meta or {}, Mapping) or not isinstance((meta or {}).get("tags", {}), Mapping):
        raise RequestError("meta is to be a JSON object, and so are its tags.")
    if not isinstance(data, Mapping):
        raise RequestError("A message needs data, with names and ndarray; no other kind is taken.")
    names = data.get("names")
    if not isinstance(names, list) or not names:
        raise RequestError("data.names is to be the list of the features that the columns hold.")
    if "ndarray" in data:
        return PredictRequest([_of_rows(names, data["ndarray"])])
    if "tensor" in data:
        return PredictRequest([_of_tensor(names, data["tensor"])], Missing("nan"))
    raise RequestError("data needs ndarray, a list of values for each accident, or tensor.")


def _of_rows(names: list[Any], rows: Any) -> Matrix:
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise RequestError("data.ndarray is to be a list with a list of values for each accident.")
    return Matrix([len(rows), len(names)], rows, Columns(names))


def _of_tensor(names: list[Any], tensor: Any) -> Matrix:
    """Return the matrix; NaN, which JSON made by protobuf has as a word, is not known."""
    shape, values = (tensor.get(key) if isinstance(tensor, Mapping) else None for key in ("shape", "values"))
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise RequestError("data.tensor.shape is to be [rows, features].")
    if not isinstance(values, list):
        raise RequestError("data.tensor.values is to be a list of numbers.")
    return Matrix(shape, [math.nan if value == "NaN" else value for value in values], Columns(names))
