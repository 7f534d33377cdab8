"""The first hour of a version that the loop has deployed: whether it is well, and says what it should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from accidents.monitoring.callers import at_most, hangs_on
from accidents.monitoring.monitor_settings import LEAST_SPELLS, ProbationPolicy
from accidents.strict import Strict


@dataclass(frozen=True)
class Probe:
    """A golden request sent to the endpoint: the seconds it took, and what was wrong, if anything."""

    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Compared:
    """P(severe) of the same accidents, float64 [n]: as the new version answered, and by the one before.

    With who asked, object [n].
    """

    new: npt.NDArray[np.float64]
    before: npt.NDArray[np.float64]
    callers: npt.NDArray[np.object_]

    def of(self, kept: npt.NDArray[np.bool_]) -> Compared:
        """Return some of them."""
        return Compared(self.new[kept], self.before[kept], self.callers[kept])


@dataclass(frozen=True)
class Traffic:
    """Accidents by caller: all that came in, those that were the version's to answer, those that it missed.

    A challenger that fails has its accidents answered by the champion: nobody notices, but here.
    `spells`: of each look at the log that saw it fail anew, whose accidents. All that waits for one slow
    answer fails in the same.
    """

    came: Counter[str] = field(default_factory=Counter)
    due: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    spells: tuple[frozenset[str], ...] = ()

    @property
    def answered(self) -> int:
        """How many it answered itself."""
        return self.due.total() - self.missed.total()

    def __add__(self, other: Traffic) -> Traffic:
        """Return what came in both together: other accidents, seen by later looks."""
        return Traffic(
            self.came + other.came,
            self.due + other.due,
            self.missed + other.missed,
            self.spells + other.spells,
        )

    def of(self, callers: Collection[str]) -> Traffic:
        """Return what came of these callers, without `came`."""
        spells = (spell.intersection(callers) for spell in self.spells)
        return Traffic(
            Counter(),
            Counter({name: self.due[name] for name in callers}),
            Counter({name: self.missed[name] for name in callers}),
            tuple(filter(None, spells)),
        )


class Answer(NamedTuple):
    """The newest answer to an accident: of which request, and whether the version was to give it, and did."""

    request: str
    due: bool
    own: bool

    @property
    def missed(self) -> bool:
        """Whether another version had to give it."""
        return self.due and not self.own


Look = Mapping[tuple[str, str], Answer]  # the answers that a look at the log saw, by caller and accident


class TrafficSeen:
    """What several looks at the log saw. An accident counts once, as its caller was answered last.

    So a look may read again what the one before has read: what was written late, or by a clock that is slow,
    is seen by the next one. Of what the newest look no longer reads the numbers alone are kept, for a day of
    answers is millions: an accident that is answered again after that counts as one more.
    """

    def __init__(self) -> None:
        self._newest: Look = {}
        self._earlier = Traffic()

    def add(self, look: Look) -> None:
        """Take up what a look saw."""
        failed = frozenset(
            caller
            for (caller, accident), answer in look.items()
            if answer.missed and answer != self._newest.get((caller, accident))
        )
        gone = {key: answer for key, answer in self._newest.items() if key not in look}
        self._earlier += _traffic(gone) + Traffic(spells=(failed,) if failed else ())
        self._newest = look

    def traffic(self) -> Traffic:
        """Return how much all looks saw."""
        return self._earlier + _traffic(self._newest)


def _traffic(look: Look) -> Traffic:
    return Traffic(
        Counter(caller for caller, _ in look),
        Counter(caller for (caller, _), answer in look.items() if answer.due),
        Counter(caller for (caller, _), answer in look.items() if answer.missed),
    )


class Verdict(Strict):
    """Whether the version stays, why not, and what was seen."""

    stays: bool
    reasons: tuple[str, ...]
    probes: int
    failed: int
    slowest: float
    predictions: int
    difference: float | None
    due: int = 0
    answered: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return self.model_dump(mode="json")


def judge_probation(
    probes: Sequence[Probe],
    compared: Compared,
    policy: ProbationPolicy,
    per_caller: float | None,
    traffic: Traffic = Traffic(),
    over: bool = False,
) -> Verdict:
    """Return what the probes and predictions so far say; `over`: nothing more is waited for.

    Latency is judged by the 95th percentile of the probes that were answered. What it predicts, or misses,
    takes a version back only if it does so without any one caller, too: nobody ends a probation by a choice
    of accidents. Nor does one hide what others see: no caller is more than `per_caller` of what is compared.
    """
    kept, left_out = at_most(compared.callers, per_caller, policy.min_predictions, seed=0)
    compared = compared.of(kept)
    failed = [probe for probe in probes if probe.error]
    answered = [probe.seconds for probe in probes if not probe.error]
    slow = float(np.quantile(answered, 0.95)) if answered else 0.0
    difference = float(np.mean(compared.new - compared.before)) if len(compared.new) else None
    reasons, notes = list[str](), list(left_out)
    if len(probes) >= policy.min_probes and len(failed) / len(probes) > policy.error_rate:
        reasons.append(f"{len(failed)} of {len(probes)} golden requests failed, the last: {failed[-1].error}")
    if len(answered) >= policy.min_probes and slow > policy.latency:
        reasons.append(f"golden requests take {slow:.2f} s (95th percentile), at most {policy.latency:g} s")
    if len(compared.new) >= policy.min_predictions and abs(difference or 0) > policy.difference:
        finding = (
            f"{len(compared.new):,} of its predictions are {difference:+.3f} from those of the version "
            f"before on the same accidents, at most {policy.difference:g}"
        )
        caller = hangs_on([compared.callers], lambda left: _differs(compared, left, policy))
        (notes if caller else reasons).append(_told(finding, caller))
    missed, caller = _missed(traffic, policy, over)
    if missed:
        (notes if caller else reasons).append(_told(missed, caller))
    elif over and not traffic.answered:
        came = f"none of the {traffic.came.total():,} accidents that came was its to answer"
        notes.append(f"It is judged on probes alone: {came if traffic.came else 'no accident came in'}.")
    return Verdict(
        stays=not reasons,
        reasons=tuple(reasons),
        probes=len(probes),
        failed=len(failed),
        slowest=max(answered, default=0.0),
        predictions=len(compared.new),
        difference=difference,
        due=traffic.due.total(),
        answered=traffic.answered,
        notes=tuple(notes),
    )


def _told(finding: str, caller: str | None) -> str:
    but = f"; but not without those of {caller}, and one caller takes no version back"
    return finding + but * (caller is not None)


def _missed(traffic: Traffic, policy: ProbationPolicy, over: bool) -> tuple[str, str | None]:
    """Say that the champion had to answer for it, and whose accidents that hangs on; an empty text if not.

    At the end always is enough, whoever asked: nothing is known of what it answers. Where only one caller
    came that is not asked either: there is no other whom it could harm.
    """
    callers = np.array(sorted(traffic.due), dtype=object)
    enough, caller = policy.min_predictions, None
    if not (over and traffic.due and not traffic.answered):
        if not _fails(traffic, policy, enough):
            return "", None
        if len(traffic.came) > 1:
            caller = hangs_on([callers], lambda left: _fails(traffic.of(callers[left]), policy, enough / 2))
    finding = (
        f"{traffic.missed.total():,} of the {traffic.due.total():,} accidents of its share were answered by "
        "the champion instead: it failed, or the API does not ask it (the API's log says which)"
    )
    return finding, caller


def _fails(traffic: Traffic, policy: ProbationPolicy, enough: float) -> bool:
    """Whether it misses too many of enough accidents, and in more than one spell."""
    due = traffic.due.total()
    return (
        due >= enough
        and traffic.missed.total() / due > policy.error_rate
        and len(traffic.spells) >= LEAST_SPELLS
    )


def _differs(compared: Compared, left: npt.NDArray[np.bool_], policy: ProbationPolicy) -> bool:
    """Whether those that are left say so too, and are half of what says anything (of two callers, one)."""
    difference = abs(np.mean(compared.new[left] - compared.before[left]))
    return bool(2 * left.sum() >= policy.min_predictions and difference > policy.difference)
