"""Request tensors of the Open Inference Protocol (V2) into the matrix a bundle predicts from, checked.

A request is one tensor per feature, or one tensor `features` [n, k] whose parameter `columns` names its
columns. null is "not known". Nothing wrong gets through: neither text nor an infinity nor an unknown code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from accidents.did_you_mean import nearest
from accidents.errors import AccidentsError

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

MATRIX = "features"
MAX_ROWS = 10_000

_LARGEST = float(np.finfo(np.float32).max)
_WHOLE = {
    f"{sign}INT{bits}": (0 if sign else -(2 ** (bits - 1)), 2 ** (bits if sign else bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
_LIMITS = {"FP32": (-_LARGEST, _LARGEST), "FP64": (-_LARGEST, _LARGEST), **_WHOLE, "BOOL": (0, 1)}
_NONE = type(None)
_TYPES: dict[str, set[type]] = {
    "FP32": {float, int, _NONE},
    "FP64": {float, int, _NONE},
    **{name: {int, _NONE} for name in _WHOLE},
    "BOOL": {bool, _NONE},
}


class RequestError(AccidentsError):
    """A request is not what the model takes: the message names the input, the row and what is right."""


class Tensor(Protocol):
    """One input of a request, as a server's own type has it."""

    name: str
    shape: list[int]
    data: Any
    parameters: Any

    @property
    def datatype(self) -> str:
        """V2's word for the type of the data."""
        ...


class TensorReader:
    """Reads requests for the features of one bundle.

    Parameters
    ----------
    declarations : the content of the bundle's features.json; the order of the matrix' columns is theirs.
    """

    def __init__(self, declarations: Sequence[Mapping[str, Any]]) -> None:
        self.features = tuple(str(declared["name"]) for declared in declarations)
        self._index = {name: k for k, name in enumerate(self.features)}
        self._codes = _Codes(declarations)
        # The columns of the last matrix, which the next one most likely has too, and the feature of each.
        self._names, self._order = list(self.features), list(range(len(self.features)))

    def read(self, inputs: Sequence[Tensor], nan_is_missing: bool = False) -> Floats:
        """Return the matrix of a request, float32 [n, len(features)]; NaN is "not known".

        Parameters
        ----------
        nan_is_missing : take NaN for "not known" too, for gRPC, which has no null.

        Raises
        ------
        RequestError
            Naming what is wrong.
        """
        if any(tensor.name == MATRIX for tensor in inputs):
            values = self._read_matrix(inputs, nan_is_missing)
        else:
            values = self._read_columns(inputs, nan_is_missing)
        fault = self._codes.first_fault(values)
        if fault:
            row, column = fault
            allowed = self._codes.allowed(column)
            raise RequestError(
                f"Input {self.features[column]!r}, row {row}: {values[row, column]:g} is not {allowed}, "
                "nor null for not known."
            )
        return values.astype(np.float32)

    def _read_matrix(self, inputs: Sequence[Tensor], nan_is_missing: bool) -> Doubles:
        tensor = inputs[0]
        if len(inputs) > 1:
            raise RequestError(f"Input {MATRIX!r} holds all features: send no other input beside it.")
        self._look_up(_columns(tensor))
        if len(tensor.shape) != 2 or tensor.shape[1] != len(self.features):
            raise RequestError(
                f"Input {MATRIX!r}: shape {_short(tensor.shape)} is wrong; "
                f"it is [rows, {len(self.features)}]."
            )
        rows, width = _rows(tensor), len(self.features)
        where = _Where(MATRIX, width, self._names)
        values = _numbers(_flat(tensor, rows, width), tensor.datatype, where, nan_is_missing)
        matrix = np.empty((rows, width))
        matrix[:, self._order] = values.reshape(rows, width)
        return matrix

    def _look_up(self, names: list[Any]) -> None:
        """Which feature each column of a matrix is. Raises RequestError for columns that are not those."""
        if names == self._names:
            return
        if not all(isinstance(name, str) for name in names):
            raise _without_columns()
        for name in names:
            self._require_known(name)
        self._require_complete(names)
        self._names, self._order = names, [self._index[name] for name in names]

    def _read_columns(self, inputs: Sequence[Tensor], nan_is_missing: bool) -> Doubles:
        names = [tensor.name for tensor in inputs]
        for name in names:
            self._require_known(name)
        self._require_complete(names)
        rows = _rows(inputs[0])
        matrix = np.empty((rows, len(self.features)))
        for tensor in inputs:
            if tensor.shape not in ([rows], [rows, 1]):
                raise RequestError(
                    f"Input {tensor.name!r}: shape {_short(tensor.shape)} is wrong; "
                    f"it is [{rows}] or [{rows}, 1], as of the first input."
                )
            where = _Where(tensor.name, 1, [tensor.name])
            values = _numbers(_flat(tensor, rows, 1), tensor.datatype, where, nan_is_missing)
            matrix[:, self._index[tensor.name]] = values
        return matrix

    def _require_known(self, name: str) -> None:
        if name not in self._index:
            near = nearest(name, self.features)
            hint = f" Did you mean {near!r}?" if near else f" There are: {', '.join(self.features)}."
            raise RequestError(f"{_short(name)} is no feature of this model.{hint}")

    def _require_complete(self, names: Sequence[str]) -> None:
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise RequestError(f"Feature {twice!r} is there twice: send each once.")
        missing = [name for name in self.features if name not in set(names)]
        if missing:
            raise RequestError(f"Missing: {', '.join(missing)}. Send every feature; null is for not known.")


class _Where:
    """Tells a position in a tensor's data for an error message."""

    def __init__(self, name: str, width: int, columns: Sequence[str]) -> None:
        self._name, self._width, self._columns = name, width, columns

    def __call__(self, position: int) -> str:
        row, column = divmod(position, self._width)
        return f"Input {self._name!r}, row {row}" + (
            f", column {self._columns[column]!r}" if self._width > 1 else ""
        )


class _Codes:
    """The values that categories and flags may have."""

    def __init__(self, declarations: Sequence[Mapping[str, Any]]) -> None:
        codes = [
            tuple(declared["codes"]) or ((0, 1) if declared["kind"] == "flag" else ())
            for declared in declarations
        ]
        self._of = codes
        self._coded = np.array([k for k, some in enumerate(codes) if some], dtype=np.intp)
        self._whole = np.array(
            [k for k, declared in enumerate(declarations) if declared["kind"] != "number"], np.intp
        )
        self._table = np.zeros((len(self._coded), max(map(max, filter(None, codes)), default=0) + 2), bool)
        for row, k in enumerate(self._coded):
            self._table[row, list(codes[k])] = True  # the last entry is no code: all else lands there
        self._lines = np.arange(len(self._coded))

    def first_fault(self, values: Doubles) -> tuple[int, int] | None:
        """Row and column of the first value that may not be."""
        for columns, bad in (
            (self._whole, self._not_whole(values[:, self._whole])),
            (self._coded, self._not_coded(values[:, self._coded])),
        ):
            if bad.any():
                row, column = np.argwhere(bad)[0]
                return int(row), int(columns[column])
        return None

    def allowed(self, column: int) -> str:
        """Return what the values of a column may be."""
        codes = self._of[column]
        return f"one of the codes {', '.join(map(str, codes))}" if codes else "a whole number"

    def _not_whole(self, values: Doubles) -> Booleans:
        wrong: Booleans = values != np.floor(values)
        return wrong & ~np.isnan(values)

    def _not_coded(self, values: Doubles) -> Booleans:
        last = self._table.shape[1] - 1
        unknown = np.isnan(values)
        within = np.minimum(np.maximum(values, -1), last)  # np.clip takes thrice as long for one row
        slots = np.where(unknown, last, within).astype(np.intp)
        codes: Booleans = self._table[self._lines, slots]
        return ~(codes | unknown)


def _columns(tensor: Tensor) -> list[Any]:
    """Return what a tensor says of its columns."""
    names = getattr(tensor.parameters, "columns", None)
    if isinstance(names, str):  # gRPC's parameters hold no list: a JSON array as text
        try:
            names = json.loads(names)
        except ValueError:
            names = None
    if not isinstance(names, list):
        raise _without_columns()
    return names


def _without_columns() -> RequestError:
    return RequestError(
        f"Input {MATRIX!r} needs the parameter 'columns': the list of the features its columns hold."
    )


def _rows(tensor: Tensor) -> int:
    rows = tensor.shape[0] if tensor.shape else 0
    if not 1 <= rows <= MAX_ROWS:
        raise RequestError(
            f"Input {tensor.name!r}: shape {_short(tensor.shape)} is wrong; "
            f"a request has 1 to {MAX_ROWS} rows."
        )
    return rows


def _flat(tensor: Tensor, rows: int, width: int) -> list[Any]:
    """Return the data of a tensor [rows, width], flat; it may come flat or as a list a row."""
    data = getattr(tensor.data, "root", tensor.data)
    if not isinstance(data, list):
        raise RequestError(f"Input {tensor.name!r}: data is to be a list, not {_short(data)}.")
    if data and len(data) == rows and all(type(row) is list for row in data):
        wrong = next((k for k, row in enumerate(data) if len(row) != width), None)
        if wrong is not None:
            raise RequestError(
                f"Input {tensor.name!r}, row {wrong}: {len(data[wrong])} values instead of {width}."
            )
        data = list(chain.from_iterable(data))
    if len(data) != rows * width:
        raise RequestError(
            f"Input {tensor.name!r}: {len(data)} values do not fill the shape {_short(tensor.shape)}."
        )
    return data


def _numbers(data: list[Any], datatype: str, where: _Where, nan_is_missing: bool) -> Doubles:
    """Return the values as float64, null as NaN; every one finite, of its datatype, and a float32 too."""
    types = _TYPES.get(datatype)
    if types is None:
        raise RequestError(
            f"{where(0)}: datatype {_short(datatype)} is wrong; use one of {', '.join(_TYPES)}."
        )
    if not types.issuperset(map(type, data)):
        position = next(k for k, value in enumerate(data) if type(value) not in types)
        raise RequestError(f"{where(position)}: {_short(data[position])} is no {datatype} value, nor null.")
    try:
        values: Doubles = np.array(data, dtype=np.float64)
    except OverflowError:
        raise RequestError(f"{where(0)} or later: a number is out of the range of {datatype}.") from None
    low, high = _LIMITS[datatype]
    unknown = np.isnan(values)
    outside = (values < low) | (values > high)
    if not nan_is_missing and int(np.count_nonzero(unknown)) != data.count(None):
        outside |= unknown & np.array([value is not None for value in data])
    if outside.any():
        position = int(np.argmax(outside))
        raise RequestError(
            f"{where(position)}: {_short(data[position])} is out of the range of {datatype}; "
            "null is for not known."
        )
    return values


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
