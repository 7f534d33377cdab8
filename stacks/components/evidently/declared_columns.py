"""The columns of a frame that are declared as numbers or categories, brought to the form Evidently needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stacks.components.evidently.validation_results import Kind, Role
from stacks.definition import did_you_mean
from stacks.errors import StackError

OTHER = "other"


@dataclass(frozen=True)
class Column:
    """A declared column."""

    name: str
    kind: Kind
    role: Role = "feature"


def declare(
    numerical: Sequence[str],
    categorical: Sequence[str],
    target: Sequence[str],
    prediction: Sequence[str],
) -> list[Column]:
    """Columns by kind: a target is a category (it is a class), a prediction a number (a probability).

    Raises
    ------
    StackError
        None is declared, or one is declared twice.
    """
    columns = [Column(name, "number") for name in numerical]
    columns += [Column(name, "category") for name in categorical]
    columns += [Column(name, "category", "target") for name in target]
    columns += [Column(name, "number", "prediction") for name in prediction]
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StackError(f"Data validation: columns declared more than once: {', '.join(twice)}.")
    if not columns:
        raise StackError(
            "Data validation: no column is declared. Pass numerical_columns or categorical_columns."
        )
    return columns


def tidy(frame: object, columns: Sequence[Column], which: str) -> pd.DataFrame:
    """Return the declared columns alone: numbers as float64, categories as text, missing and infinite as NaN.

    Raises
    ------
    StackError
        Not a frame, without rows, without a declared column, or text in a column of numbers.
    """
    if not isinstance(frame, pd.DataFrame):
        raise StackError(
            f"Data validation: the {which} data must be a pandas DataFrame, not {type(frame).__name__}."
        )
    if frame.empty:
        raise StackError(f"Data validation: the {which} data has no rows; there is nothing to look at.")
    for column in columns:
        if column.name not in frame:
            hint = did_you_mean(column.name, [str(name) for name in frame.columns])
            raise StackError(f"Data validation: the {which} data has no column {column.name!r}.{hint}")
    return pd.DataFrame({column.name: _tidy_column(frame[column.name], column, which) for column in columns})


def join_rare(frames: Sequence[pd.DataFrame], columns: Sequence[Column], most: int) -> list[pd.DataFrame]:
    """`frames` with the rarest categories beyond `most`, over all frames, joined to one."""
    frames = [frame.copy() for frame in frames]
    for column in columns:
        if column.kind != "category":
            continue
        counts = pd.concat([frame[column.name] for frame in frames]).value_counts()
        if len(counts) > most:
            kept = counts.index[: most - 1]
            for frame in frames:
                known = frame[column.name]
                frame[column.name] = known.where(known.isin(kept) | known.isna(), OTHER)
    return frames


def _tidy_column(values: pd.Series, column: Column, which: str) -> pd.Series:
    if column.kind == "category":
        # Each label is made once: a hundred thousand rows hold few of them. Code -1 is the NaN at the end.
        codes, known = pd.factorize(values)
        labels = np.array([*map(_label, known), np.nan], dtype=object)
        return pd.Series(labels[codes], index=values.index, dtype=object)
    try:
        numbers = pd.to_numeric(values).to_numpy(dtype="float64", na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise StackError(
            f"Data validation: column {column.name!r} of the {which} data is declared a number but holds "
            f"text ({error}). Declare it categorical."
        ) from error
    return pd.Series(np.where(np.isfinite(numbers), numbers, np.nan), index=values.index)


def _label(value: object) -> str:
    """Codes often come as floats because some are missing: 7.0 is category 7."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
