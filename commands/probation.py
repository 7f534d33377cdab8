"""The first hour of a version that the loop has made: watched, or with a growing share of the accidents."""

from __future__ import annotations

from datetime import UTC, datetime

from accidents.monitoring.probation import Verdict
from accidents.params import Params
from accidents.predictions.leases import Lease
from accidents.rollout.traffic_split import CHALLENGER, CHAMPION, Role
from commands.api import API
from commands.loop_settings import loop_settings
from commands.project import ROOT, console
from commands.trial import try_version
from stacks.endpoints import Endpoint, State


def may_try(endpoint: Endpoint, params: Params, before: str | None) -> bool:
    """Whether a new version is to begin as a canary: asked for, and the one before answers beside it."""
    if not params.monitor.probation.canary or before is None:
        return False
    served = endpoint.versions()
    answers = bool(served) and served[0].version == before and endpoint.state().state == State.healthy
    if answers and endpoint.no_trials:
        console.print(f"{endpoint.no_trials}: the new version takes over at once.", highlight=False)
        return False
    return answers


def walk_up(params: Params, stack: str, version: str, before: str, lease: Lease) -> Verdict:
    """Have the version answer share after share, as long as nothing is wrong; return what was seen last.

    The probation's minutes are divided among the shares and what follows, when it answers all. Raises
    LeaseLostError before a share that is no longer this loop's to give: another one may have decided
    otherwise while this one watched.
    """
    on_each = part_of(params)
    for share in params.monitor.probation.canary:  # one at least: `may_try`
        lease.require()
        try_version(params, stack, None, version, CHALLENGER, share)
        verdict = watch(on_each, stack, version, before, datetime.now(UTC), CHALLENGER, share)
        if not verdict.stays:
            break
    return verdict


def part_of(params: Params) -> Params:
    """Return the settings of each part of a probation: a canary's shares, and then all accidents."""
    policy = params.monitor.probation
    each = policy.model_copy(update={"minutes": policy.minutes / (len(policy.canary) + 1), "canary": ()})
    return params.model_copy(
        update={"monitor": params.monitor.model_copy(update={"probation": each})}
    )  # fmt: skip


def watch(
    params: Params, stack: str, version: str, before: str | None, since: datetime, role: Role = CHAMPION,
    share: int = 100,
) -> Verdict:  # fmt: skip
    """Run the verify pipeline; return its verdict.

    Parameters
    ----------
    since : when the version was deployed in this role.
    """
    from pipelines import runs
    from pipelines.code import runs_here
    from pipelines.config import load_config
    from pipelines.verify import verify
    from steps.support.references import refer_to

    settings = params.monitor
    console.print(f"Version {version} is on probation for {settings.probation.minutes:g} minutes.")
    config = load_config("verify", stack, ROOT / "configs")
    own = API.url if runs_here(verify) else None  # a pod's 127.0.0.1 is the pod
    run = runs.run(
        verify, config, version=refer_to(params.stage, version),
        before=None if before is None else refer_to(params.stage, before), since=since.isoformat(),
        settings=settings, api=loop_settings().api_address or own, role=role,
        share=share,
    )  # fmt: skip
    verdict: Verdict = run.load("watch_version", "probation")
    for note in verdict.notes:
        console.print(note, highlight=False, markup=False)
    return verdict
