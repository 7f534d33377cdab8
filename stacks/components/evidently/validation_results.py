"""What a data validator hands back: plain, frozen, JSON-ready; the page beside it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["feature", "target", "prediction"]
Kind = Literal["number", "category"]
Status = Literal[
    "compared",
    "missing in current",
    "not comparable: missing in reference",
    "not comparable: missing in both",
    "not comparable: too few values",
]
Verdict = Literal["drifted", "stable", "not comparable"]


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the page."""
        return self.model_dump(mode="json")


class ColumnDrift(_Result):
    """One column of the current data against the reference.

    `statistic` is a distance, or a p-value if `method` is "ks" or "chi2_two_sample". Shares are 0 to 1.
    """

    column: str
    role: Role
    kind: Kind
    status: Status
    missing_reference: float
    missing_current: float
    missing_drifted: bool = False
    method: str | None = None
    statistic: float | None = None
    threshold: float | None = None
    value_drifted: bool = False

    @property
    def comparable(self) -> bool:
        """Whether anything can be said of it."""
        return not self.status.startswith("not comparable")

    @property
    def drifted(self) -> bool:
        """Its values, or the share of them that is missing, have moved."""
        return self.comparable and (self.value_drifted or self.missing_drifted)


class DriftResult(_Result):
    """Drift of a dataset. `share_drifted` counts comparable features; targets and predictions stand apart."""

    reference_rows: int
    current_rows: int
    columns: tuple[ColumnDrift, ...]
    drift_share: float
    html: str = Field(default="", exclude=True, repr=False)

    @property
    def compared(self) -> int:
        """Number of features that could be compared."""
        return sum(column.comparable for column in self._features)

    @property
    def share_drifted(self) -> float:
        """Drifted features among those that could be compared; 0 if none could."""
        return sum(column.drifted for column in self._features) / max(self.compared, 1)

    @property
    def verdict(self) -> Verdict:
        """What monitoring acts on."""
        if not self.compared:
            return "not comparable"
        return "drifted" if self.share_drifted >= self.drift_share else "stable"

    @property
    def drifted_columns(self) -> tuple[str, ...]:
        """Names of all that moved, whatever their role."""
        return tuple(column.column for column in self.columns if column.drifted)

    @property
    def not_comparable(self) -> dict[str, str]:
        """Column -> why it could not be compared."""
        return {column.column: column.status for column in self.columns if not column.comparable}

    def column(self, name: str) -> ColumnDrift:
        """Return the result of one column; KeyError if it was not looked at."""
        return {column.column: column for column in self.columns}[name]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, verdict first, without the page."""
        verdict = {
            "verdict": self.verdict,
            "share_drifted": self.share_drifted,
            "compared": self.compared,
            "drifted_columns": list(self.drifted_columns),
            "not_comparable": self.not_comparable,
        }
        return verdict | self.model_dump(mode="json")

    @property
    def _features(self) -> tuple[ColumnDrift, ...]:
        return tuple(column for column in self.columns if column.role == "feature")


class ColumnProfile(_Result):
    """One column: how much is missing (0 to 1), and what is there; None for what does not apply."""

    column: str
    role: Role
    kind: Kind
    missing: float
    distinct: int
    mean: float | None = None
    std: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    most_common: str | None = None

    @property
    def empty(self) -> bool:
        """Not one value is known."""
        return self.distinct == 0

    @property
    def constant(self) -> bool:
        """All known values are the same."""
        return self.distinct == 1


class DataProfile(_Result):
    """The quality of a dataset, column by column."""

    rows: int
    duplicated_rows: int
    missing: float  # share of all cells
    columns: tuple[ColumnProfile, ...]
    html: str = Field(default="", exclude=True, repr=False)

    @property
    def empty_columns(self) -> tuple[str, ...]:
        """Columns without one known value."""
        return tuple(column.column for column in self.columns if column.empty)

    @property
    def constant_columns(self) -> tuple[str, ...]:
        """Columns with a single known value."""
        return tuple(column.column for column in self.columns if column.constant)

    def column(self, name: str) -> ColumnProfile:
        """Return the profile of one column; KeyError if it was not looked at."""
        return {column.column: column for column in self.columns}[name]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the page."""
        lists = {"empty_columns": list(self.empty_columns), "constant_columns": list(self.constant_columns)}
        return self.model_dump(mode="json") | lists
