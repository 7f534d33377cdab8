"""All that judging a candidate on the test part found, in one value that goes through JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from accidents.evaluation.behaviour import BehaviourResult
from accidents.evaluation.metrics import Alerts, Evaluation
from accidents.evaluation.slices import SliceResult


@dataclass(frozen=True)
class Results:
    """The candidate's evaluation, the baselines' on the same accidents, slices and behavioural checks.

    `alerts` is the threshold for the budget, chosen on the calibration part. All figures are for exactly
    the budget's share of the test accidents, so that models can be compared, but `at_threshold`: what that
    threshold gives there.
    """

    alerts: Alerts
    model: Evaluation
    at_threshold: Evaluation
    baselines: Mapping[str, Evaluation]
    slices: tuple[SliceResult, ...]
    behaviour: tuple[BehaviourResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` is its inverse. Undefined numbers are NaN."""
        content: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Results:
        """Read what `to_dict` wrote."""
        return _adapter().validate_python(content)


@cache
def _adapter() -> TypeAdapter[Results]:
    return TypeAdapter(Results)
