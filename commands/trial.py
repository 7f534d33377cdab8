"""`--pipeline deploy --canary` and `--shadow`: a version on trial beside the champion, and its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from accidents.errors import AccidentsError
from accidents.rollout.traffic_split import CHALLENGER, SHADOW, Role
from commands.project import ROOT, console, on_stack
from stacks.endpoints import Endpoint, ServedVersion, State

if TYPE_CHECKING:  # `status` describes trials, and pandas is behind it
    from zenml.models import ModelVersionResponse

    from accidents.params import Params


class TrialFacts(TypedDict):
    """What the step `try_version` leaves of a trial; `beside`: the version it is tried beside."""

    name: str
    version: str
    role: Role
    share: int
    beside: str
    golden_rows: int
    synthetic: bool


def try_version(
    params: Params, stack: str, config: Path | None, version: str, role: Role, share: int
) -> TrialFacts:
    """Serve `version` beside the champion, as challenger with a share in percent, or as shadow; say so."""
    from pipelines.config import load_config

    started = time.monotonic()
    settings = load_config("deploy", stack, ROOT / "configs", config)
    on_stack(stack)
    from pipelines import runs
    from pipelines.deploy import deploy as pipeline
    from stacks.endpoints import active_endpoints
    from steps.support import champion_and_versions
    from steps.support.references import refer_to

    name = champion_and_versions.model_name(params.stage)
    _require_trial(active_endpoints().endpoint(name), champion_and_versions.version(name, version))
    run = runs.run(pipeline, settings, version=refer_to(params.stage, version), role=role, share=share)
    facts: TrialFacts = run.load("try_version", "trial")
    _show(facts, time.monotonic() - started)
    return facts


def end_trials(name: str) -> Sequence[ServedVersion]:
    """Have the champion answer everything again; return what was on trial on the active stack."""
    from stacks.endpoints import deployed_endpoint

    endpoint = deployed_endpoint(name)
    ended = endpoint.end_trials() if endpoint else ()
    for trial in ended:
        console.print(f"The trial of version {trial.version} ({describe(trial)}) is over.", highlight=False)
    return ended


def describe(trial: ServedVersion) -> str:
    """Return what a version is for, in words."""
    return f"canary of {trial.share} %" if trial.role == CHALLENGER else trial.role


def _require_trial(endpoint: Endpoint, version: ModelVersionResponse) -> None:
    """Raise AccidentsError where this version cannot be on trial, before a run is begun."""
    number, served = str(version.number), endpoint.versions()
    if not served or endpoint.state().state != State.healthy:
        raise AccidentsError(
            f"{endpoint.name} is not being served, so nothing can be tried beside it. "
            "Deploy the champion first: python run.py --pipeline deploy."
        )
    if served[0].version == number:
        raise AccidentsError(
            f"Version {number} of {endpoint.name} is the one that serves: a trial is for another version."
        )


def _show(facts: TrialFacts, seconds: float) -> None:
    number, beside = facts["version"], facts["beside"]
    if facts["role"] == SHADOW:
        does = f"scores a copy of each request; version {beside} answers them all"
    else:
        does = f"answers {facts['share']} % of the accidents, version {beside} the others"
    for line in [
        f"\n[bold]{facts['name']}[/] version {number} {does}.",
        f"{facts['golden_rows']:,} golden rows, asked of the endpoint: as training gave them.",
        f"{seconds:.0f} s. Next: [bold]python run.py status[/]; the trial ends with "
        f"[bold]run.py promote {number}[/] or [bold]run.py rollback[/].",
    ]:
        console.print(line, highlight=False)
