"""What `--canary` and `--shadow` refuse, and how the loop walks a canary up."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

import run
from accidents.monitoring.monitor_settings import ProbationPolicy
from accidents.monitoring.probation import Verdict
from accidents.params import load_params
from accidents.predictions.leases import LeaseLostError
from commands import probation
from stacks.endpoints import EndpointState, ServedVersion, State
from tests.conftest import ROOT
from tests.monitor_reports import verdict


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--version", "2", "--canary", "0"], "greater than or equal to 1"),
        (["--version", "2", "--canary", "100"], "less than or equal to 99"),
        (["--version", "2", "--canary", "ten"], "valid integer"),
        (["--version", "2", "--canary", "10", "--shadow"], "as one of the two"),
        (["--canary", "10"], "need --version"),
        (["--shadow"], "need --version"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(
    capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert run.cli(["--pipeline", "deploy", *words]) != 0
    captured = capsys.readouterr()
    assert says in captured.out + captured.err


@pytest.mark.parametrize("shares", [[0], [100], [10, 10], [50, 5], ["ten"]])
def test_shares_of_a_probation_go_up(shares: list[Any]) -> None:
    with pytest.raises(ValidationError):
        ProbationPolicy(canary=shares)


class FakeLease:
    """One that is lost when it is asked for the so-manyth time."""

    def __init__(self, lost_at: int | None = None) -> None:
        self.asked, self.lost_at = 0, lost_at

    def require(self) -> None:
        self.asked += 1
        if self.asked == self.lost_at:
            raise LeaseLostError("lost")


class Walk:
    """What was deployed and watched, in place of a stack; it goes wrong at a share."""

    def __init__(self, wrong_at: int | None) -> None:
        self.done: list[Any] = []
        self.wrong_at = wrong_at

    def try_version(self, params: Any, stack: str, config: None, version: str, role: str, share: int) -> None:
        self.done.append((role, share))

    def watch(self, params: Any, *words: Any) -> Verdict:
        share = words[-1]
        assert share == self.done[-1][1]
        self.done.append(params.monitor.probation.minutes)
        return verdict(self.done[-2][1] != self.wrong_at)


@pytest.mark.parametrize(("wrong_at", "steps"), [(None, 3), (25, 2), (5, 1)])
def test_a_canary_goes_up_step_by_step_and_ends_where_it_goes_wrong(
    monkeypatch: pytest.MonkeyPatch, wrong_at: int | None, steps: int
) -> None:
    walk = Walk(wrong_at)
    monkeypatch.setattr(probation, "try_version", walk.try_version)
    monkeypatch.setattr(probation, "watch", walk.watch)
    params = load_params(ROOT / "params.yaml", {"monitor.probation.canary": [5, 25, 50]})
    found = probation.walk_up(params, "local", "4", "3", FakeLease())
    shares = [one for one in walk.done if isinstance(one, tuple)]
    assert shares == [("challenger", share) for share in (5, 25, 50)[:steps]]
    assert found.stays == (wrong_at is None)
    assert sum(one for one in walk.done if isinstance(one, float)) == pytest.approx(15 * steps), (
        "the last quarter is for when it answers all"
    )


def test_a_loop_that_lost_its_lease_while_it_watched_gives_no_larger_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walk = Walk(None)
    monkeypatch.setattr(probation, "try_version", walk.try_version)
    monkeypatch.setattr(probation, "watch", walk.watch)
    params = load_params(ROOT / "params.yaml", {"monitor.probation.canary": [5, 25, 50]})
    with pytest.raises(LeaseLostError):
        probation.walk_up(params, "local", "4", "3", FakeLease(lost_at=2))
    assert [one for one in walk.done if isinstance(one, tuple)] == [("challenger", 5)]


class Served:
    """An endpoint of which one thing is asked."""

    def __init__(self, version: str, state: State, no_trials: str = "") -> None:
        self._version, self._state, self.no_trials = version, state, no_trials

    def versions(self) -> tuple[ServedVersion, ...]:
        return (ServedVersion(self._version, None, "champion", 100, self._state, "m"),)

    def state(self) -> EndpointState:
        return EndpointState(self._state)


@pytest.mark.parametrize(
    ("canary", "before", "served", "may"),
    [
        ([10], "3", Served("3", State.healthy), True),
        ([], "3", Served("3", State.healthy), False),
        ([10], None, Served("3", State.healthy), False),
        ([10], "3", Served("2", State.healthy), False),
        ([10], "3", Served("3", State.failing), False),
        ([10], "3", Served("3", State.healthy, "MLflow serves one version at a time"), False),
    ],
)
def test_a_canary_needs_the_version_before_beside_it(
    canary: list[int], before: str | None, served: Any, may: bool
) -> None:
    params = load_params(ROOT / "params.yaml", {"monitor.probation.canary": canary})
    assert probation.may_try(served, params, before) is may
