"""The first hour of a version that the loop has deployed: is it well, and does it say what it should?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accidents.monitoring.policy import ProbationPolicy


@dataclass(frozen=True)
class Probe:
    """A golden request sent to the endpoint: the seconds it took, and what was wrong, if anything."""

    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Compared:
    """P(severe) of the same accidents, float64 [n]: as the new version answered, and by the one before."""

    new: npt.NDArray[np.float64]
    before: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """Whether the version stays, why not, and what was seen."""

    stays: bool
    reasons: tuple[str, ...]
    probes: int
    failed: int
    slowest: float
    predictions: int
    difference: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"reasons": list(self.reasons)}


def judge_probation(probes: Sequence[Probe], compared: Compared, policy: ProbationPolicy) -> Verdict:
    """What the probes and predictions so far say.

    Latency is judged by the 95th percentile of the probes that were answered.
    """
    failed = [probe for probe in probes if probe.error]
    answered = [probe.seconds for probe in probes if not probe.error]
    slow = float(np.quantile(answered, 0.95)) if answered else 0.0
    difference = float(np.mean(compared.new - compared.before)) if len(compared.new) else None
    reasons = []
    if len(probes) >= policy.min_probes and len(failed) / len(probes) > policy.error_rate:
        reasons.append(f"{len(failed)} of {len(probes)} golden requests failed, the last: {failed[-1].error}")
    if len(answered) >= policy.min_probes and slow > policy.latency:
        reasons.append(f"golden requests take {slow:.2f} s (95th percentile), at most {policy.latency:g} s")
    if len(compared.new) >= policy.min_predictions and abs(difference or 0) > policy.difference:
        reasons.append(
            f"{len(compared.new):,} of its predictions are {difference:+.3f} from those of the version "
            f"before on the same accidents, at most {policy.difference:g}"
        )
    return Verdict(
        not reasons,
        tuple(reasons),
        len(probes),
        len(failed),
        max(answered, default=0.0),
        len(compared.new),
        difference,
    )
