"""LightGBM's trees through its C library alone.

`import lightgbm` pulls in scipy (and pandas and scikit-learn where they are installed): a second of start-up
and 150 MB that a server has no use for. Predicting needs the shared library only, and its single-row call
answers in a fraction of the Python package's time. Same library, same trees: same numbers to the last bit.
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from accidents.errors import BundleError

_RAW = 1  # C_API_PREDICT_RAW_SCORE
_FLOAT32 = 0
_ONE_THREAD = b"num_threads=1"
_ALL_THREADS = b"num_threads=0"  # what OMP_NUM_THREADS says
_MANY_ROWS = 256  # fewer are faster on one thread


@cache
def _library() -> ctypes.CDLL:
    package = importlib.util.find_spec("lightgbm")
    folders = [Path(p) for p in (package.submodule_search_locations or ())] if package else []
    names = ("lib/lib_lightgbm.so", "lib/lib_lightgbm.dylib", "bin/lib_lightgbm.dll", "lib/lib_lightgbm.dll")
    for library in (folder / name for folder in folders for name in names):
        if library.is_file():
            loaded = ctypes.cdll.LoadLibrary(str(library))
            loaded.LGBM_GetLastError.restype = ctypes.c_char_p
            return loaded
    raise BundleError("LightGBM's shared library was not found: install the package `lightgbm`.")


def _check(code: int) -> None:
    if code != 0:
        raise BundleError(
            f"LightGBM refused the model or the data: {_library().LGBM_GetLastError().decode()}"
        )


class Booster:
    """Trees read from LightGBM's text format. Predicting is safe from several threads."""

    def __init__(self, text: str) -> None:
        """Load the model. Raises BundleError if `text` is none of LightGBM."""
        self.text = text
        self._handle = ctypes.c_void_p()
        iterations = ctypes.c_int()
        library = _library()
        _check(
            library.LGBM_BoosterLoadModelFromString(
                ctypes.c_char_p(text.encode()), ctypes.byref(iterations), ctypes.byref(self._handle)
            )
        )
        count = ctypes.c_int()
        _check(library.LGBM_BoosterGetNumFeature(self._handle, ctypes.byref(count)))
        self.features = count.value
        self.iterations = iterations.value
        self._fast = ctypes.c_void_p()
        _check(
            library.LGBM_BoosterPredictForMatSingleRowFastInit(
                self._handle, _RAW, 0, -1, _FLOAT32, ctypes.c_int32(self.features),
                ctypes.c_char_p(_ONE_THREAD), ctypes.byref(self._fast),
            )
        )  # fmt: skip
        self._row = np.empty(self.features, dtype=np.float32)
        self._out = ctypes.c_double()
        self._length = ctypes.c_int64()
        self._arguments = (
            self._fast, ctypes.c_void_p(self._row.ctypes.data),
            ctypes.byref(self._length), ctypes.byref(self._out),
        )  # fmt: skip
        self._lock = threading.Lock()  # the single-row buffers are shared

    def score(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Raw scores (log-odds) of float32 [n, features], float64 [n]."""
        if len(matrix) == 1:
            return np.array([self._score_row(matrix[0])])
        return self._predict(matrix)

    def merged(self, others: Sequence[Booster]) -> Booster:
        """One booster with the trees of all: its score is the sum of theirs."""
        library, joined = _library(), Booster(self.text)
        for other in others:
            _check(library.LGBM_BoosterMerge(joined._handle, other._handle))
        return Booster(joined._to_text())

    def _to_text(self) -> str:
        size = ctypes.c_int64(2 * len(self.text) + 1024)
        while True:  # a second time if the buffer was too short
            buffer = ctypes.create_string_buffer(size.value)
            needed = ctypes.c_int64()
            _check(
                _library().LGBM_BoosterSaveModelToString(
                    self._handle, 0, -1, 0, ctypes.c_int64(size.value), ctypes.byref(needed), buffer
                )
            )
            if needed.value <= size.value:
                return buffer.value.decode()
            size = needed

    def __del__(self) -> None:
        if getattr(self, "_fast", None):
            _library().LGBM_FastConfigFree(self._fast)
        if getattr(self, "_handle", None):
            _library().LGBM_BoosterFree(self._handle)

    def _score_row(self, row: npt.NDArray[np.float32]) -> float:
        with self._lock:
            self._row[:] = row
            _check(_library().LGBM_BoosterPredictForMatSingleRowFast(*self._arguments))
            return float(self._out.value)

    def _predict(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        rows = np.ascontiguousarray(matrix, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise BundleError(f"The trees need {self.features} columns, not a matrix of shape {rows.shape}.")
        out = np.empty(len(rows), dtype=np.float64)
        threads = _ALL_THREADS if len(rows) >= _MANY_ROWS else _ONE_THREAD
        if len(rows):
            length = ctypes.c_int64()
            _check(
                _library().LGBM_BoosterPredictForMat(
                    self._handle, ctypes.c_void_p(rows.ctypes.data), _FLOAT32,
                    ctypes.c_int32(len(rows)), ctypes.c_int32(rows.shape[1]), 1, _RAW, 0, -1,
                    ctypes.c_char_p(threads), ctypes.byref(length), ctypes.c_void_p(out.ctypes.data),
                )
            )  # fmt: skip
        return out
