"""`--pipeline deploy`, and how the endpoint follows a champion that was changed by hand."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from rich.markup import escape

from accidents.errors import AccidentsError
from accidents.params import Params
from commands.api import API, ASKED
from commands.project import ROOT, console, on_stack
from stacks.errors import StackError

if TYPE_CHECKING:
    from stacks.endpoints import Endpoint


class DeploymentFacts(TypedDict):
    """What the step `deploy_model` leaves of a deployment.

    `before`: the version that served; `ended`: those whose trial is over; `difference`: the largest from the
    golden answers.
    """

    name: str
    version: str
    url: str
    before: str | None
    ended: list[str]
    golden_rows: int
    difference: float
    synthetic: bool


def deploy(params: Params, stack: str, config: Path | None, version: str | None) -> DeploymentFacts:
    """Serve the champion, or `version`, through the stack's model deployer; say and return what serves."""
    from pipelines.config import load_config

    started = time.monotonic()
    settings = load_config("deploy", stack, ROOT / "configs", config)
    on_stack(stack)
    from pipelines import runs
    from pipelines.deploy import deploy as pipeline
    from stacks.endpoints import active_endpoints
    from steps.support.references import refer_to

    endpoints = active_endpoints()  # a stack without one is told before a run is begun
    run = runs.run(pipeline, settings, version=refer_to(params.stage, version))
    facts: DeploymentFacts = run.load("deploy_model", "deployment")
    next_step = _next(endpoints.endpoint(facts["name"]), endpoints.on_this_machine)
    _show(facts, time.monotonic() - started, next_step)
    return facts


def redeploy(params: Params, stack: str) -> None:
    """Deploy the new champion if its model is being served on this stack; nothing otherwise."""
    from stacks.endpoints import deployed_endpoint
    from steps.support import champion_and_versions

    if deployed_endpoint(champion_and_versions.model_name(params.stage)):
        console.print("The endpoint follows:")
        deploy(params, stack, None, None)


def _show(facts: DeploymentFacts, seconds: float, next_step: str) -> None:
    before = facts["before"]
    was = "" if before is None else " as before" if before == facts["version"] else f" (before: {before})"
    synthetic = ", learnt from the synthetic sample" if facts["synthetic"] else ""
    for line in [
        f"\n[bold]{facts['name']}[/] version {facts['version']}{was} serves at {facts['url']}{synthetic}.",
        f"{facts['golden_rows']:,} golden rows, asked of the endpoint: {_difference(facts['difference'])}.",
        *([f"On trial no more: version {', '.join(facts['ended'])}."] if facts["ended"] else []),
        f"{seconds:.0f} s. {next_step} [bold]python run.py status[/] tells what runs.",
    ]:
        console.print(line if "[" in line else escape(line), highlight=False)


def _next(endpoint: Endpoint, on_this_machine: bool) -> str:
    asked = API.variable(ASKED)
    if asked is not None and asked == _address(endpoint):
        return f"The API runs at {API.url};"
    if not on_this_machine:
        return "The API in the cluster answers with it (docs/kubernetes.md);"
    if asked is not None:
        return f"The API at {API.url} asks another model: [bold]python run.py stop[/], then make serve;"
    return "Next: [bold]make serve[/], the API in front of it;"


def _address(endpoint: Endpoint) -> str | None:
    """Where it speaks V2; None if that cannot be told now, which is no fault of a deployment."""
    with suppress(AccidentsError, StackError):
        return endpoint.v2_address()
    return None


def _difference(largest: float) -> str:
    return f"at most {largest:.0e} from what training gave" if largest else "exactly what training gave"
