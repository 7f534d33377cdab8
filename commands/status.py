"""`run.py status`: what is deployed where, whether it is well, predictions, the last drift verdict."""

from __future__ import annotations

import json
import os
import urllib.error
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from urllib.parse import urlsplit

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from accidents.features.features_by_stage import STAGES
from accidents.predictions.database_tables import NoDatabaseError
from accidents.predictions.prediction_log import PredictionLogError
from accidents.predictions.store import VARIABLE, PredictionStore
from commands.api import API, stranger_at, url_of
from commands.loop_settings import loop_settings
from commands.other_stacks import beside
from commands.prediction_store import opened_store
from commands.project import api_settings, console, on_stack, open_own, use_prediction_log
from commands.trial import describe
from stacks.definition import read_stack
from stacks.endpoints import Endpoint, ServedVersion, State, endpoints_on
from stacks.errors import StackError
from stacks.zenml_database import has_secret, last_metadata, production_versions
from steps.support.champion_and_versions import model_name
from steps.support.prediction_store import SECRET


def show_status(stack: str) -> None:
    """Print everything; what cannot be told says why."""
    names = [model_name(stage) for stage in STAGES]
    champions = _champions(stack, names)
    endpoints = endpoints_on(stack)
    deployed = {name: endpoints.endpoint(name) for name in endpoints.names()} if endpoints else {}
    console.print(_models(stack, champions, deployed))
    here = endpoints is None or endpoints.on_this_machine
    # Before the API: by where its log is, ours is told from others'.
    predictions, last = _predictions(stack), {"Monitor": _monitor(stack), "Loop": _loop(stack, names)}
    lines = {"API": _api(here), "Predictions": predictions, "Drift": _drift(stack), **last}
    others = beside(stack, deployed)
    for what, words in (_supervision(deployed) | _trials(deployed) | others | lines).items():
        console.print(f"[bold]{what:12}[/] {escape(words)}", highlight=False, soft_wrap=True)


def _champions(stack: str, names: Iterable[str]) -> dict[str, str]:
    """Return the champion of each model; ZenML is imported only where it must be asked."""
    numbers = production_versions()
    if numbers is None:
        on_stack(stack)
        from steps.support import champion_and_versions

        versions = {name: champion_and_versions.champion(name) for name in names}
        return {name: str(version.number) for name, version in versions.items() if version is not None}
    return {name: str(numbers[name]) for name in names if name in numbers}


def _models(stack: str, champions: Mapping[str, str], deployed: Mapping[str, Endpoint]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=f"Stack {stack}", title_justify="left")
    for head in ("model", "champion", "deployed", "state", "at"):
        table.add_column(head, no_wrap=head == "model", overflow="fold")
    for name in sorted({*champions, *deployed}):
        cells = _served(deployed.get(name), champions.get(name))
        table.add_row(name, champions.get(name, "none"), *cells)
        for trial in deployed[name].versions()[1:] if name in deployed else ():
            table.add_row("", "", *_on_trial(trial))
    if not table.rows:
        table.add_row("none yet", "", "", "", "python run.py --pipeline train")
    return table


def _served(endpoint: Endpoint | None, champion: str | None) -> tuple[str, str, str]:
    """Version, state and address of what is deployed, with what to do about it."""
    versions = endpoint.versions() if endpoint else ()
    if endpoint is None or not versions:
        return "no", "", "python run.py --pipeline deploy"
    state, version = endpoint.state(), versions[0].version
    if state.state != State.healthy:
        reason = f"[red]not running[/]: {escape(state.reason)}"
        return version, reason, "back: python run.py --pipeline deploy"
    behind = "" if version == champion else " [yellow](not the champion)[/]"
    return version + behind, "[green]healthy[/]", urlsplit(state.url or "").netloc


def _supervision(deployed: Mapping[str, Endpoint]) -> dict[str, str]:
    """Who brings the model server back when it has ended; one server has all models."""
    keepers = {endpoint.state().supervision for endpoint in deployed.values()} - {None, ""}
    return {"Model server": ", ".join(sorted(map(str, keepers)))} if keepers else {}


def _on_trial(trial: ServedVersion) -> tuple[str, str, str]:
    healthy = trial.state == State.healthy
    state = "[green]healthy[/]" if healthy else f"[red]not running[/]: {escape(trial.reason)}"
    return f"{trial.version} ({f'{trial.share} %' if trial.share else trial.role})", state, ""


def _trials(deployed: Mapping[str, Endpoint]) -> dict[str, str]:
    """Tell what is on trial, and how to end it."""
    trials = [trial for endpoint in deployed.values() for trial in endpoint.versions()[1:]]
    if not trials:
        return {}
    words = ", ".join(f"version {trial.version} ({describe(trial)})" for trial in trials)
    ends = " or ".join([*(f"`promote {trial.version}`" for trial in trials), "`rollback`"])
    return {"On trial": f"{words}; {ends} ends it"}


def _api(on_this_machine: bool = True) -> str:
    """Tell of the API that configs/loop.yaml names, else of ours: in the background or in a terminal.

    Parameters
    ----------
    on_this_machine : whether the model is served here; else the API is in the cluster, too.
    """
    named, settings = loop_settings().api_address, api_settings()
    url = named or API.url or url_of(settings.host, settings.port)
    none_runs = "does not run: make serve"
    if not on_this_machine:
        none_runs = "not asked: say where the cluster's is (`api` in configs/loop.yaml, or ACCIDENTS_API)"
    try:
        stranger = None if named else stranger_at(url)
        if stranger:
            return f"{none_runs}. At {url} {stranger} answers: set another `port`."
        with open_own(f"{url}/health/ready", timeout=3):
            return f"ready at {url}"
    except urllib.error.HTTPError as error:
        return f"not ready at {url}: {_reasons(error)}"
    except OSError as error:
        return f"does not answer at {url}: {error}" if named or API.url else none_runs


def _reasons(error: urllib.error.HTTPError) -> str:
    """Why it is not ready, as it says itself; a proxy before it says nothing of that."""
    try:
        return " ".join(json.load(error)["reasons"])
    except (HTTPException, ValueError, KeyError, TypeError):
        return str(error)


@contextmanager
def _opened_log(stack: str) -> Iterator[PredictionStore]:
    """Yield the stack's prediction log; ZenML is imported only where it, or the file, may know better where.

    Raises PredictionLogError, or StackError where nobody says in full where it is.
    """
    if not os.environ.get(VARIABLE) and (has_secret(SECRET) or read_stack(stack).predictions):
        use_prediction_log(stack)
    with opened_store() as store:
        yield store


def _predictions(stack: str) -> str:
    try:
        with _opened_log(stack) as store:
            return f"{store.log.count():,} in the log"
    except NoDatabaseError as error:
        return f"none: {str(error).partition('. ')[0]}; make serve begins one"
    except (PredictionLogError, StackError) as error:
        return f"cannot be counted: {error}"


def _monitor(stack: str) -> str:
    """Tell what was decided last, and why."""
    try:
        with _opened_log(stack) as store:
            reports = [report for stage in STAGES for report in store.history.reports(stage, 1)]
    except NoDatabaseError:
        reports = []
    except (PredictionLogError, StackError) as error:
        return f"cannot be read: {error}"
    if not reports:
        return "has not looked yet: python run.py --pipeline monitor"
    last = max(reports, key=lambda report: report.created)
    return f"{last.decision.action} ({last.created:%Y-%m-%d %H:%M} UTC): {last.decision.reasons[0]}"


def _loop(stack: str, names: Iterable[str]) -> str:
    """Tell the last stage of the last loop that did more than look."""
    try:
        with _opened_log(stack) as store:
            acted = [event for name in names for event in store.history.events(name, 1, looks=False)]
    except NoDatabaseError:
        acted = []
    except (PredictionLogError, StackError) as error:
        return f"cannot be read: {error}"
    if not acted:
        return "has retrained nothing yet"
    last = max(acted, key=lambda event: event.created)
    version = f" of version {last.version}" if last.version else ""
    return f"{last.stage}{version}: {last.outcome} ({last.created:%Y-%m-%d %H:%M} UTC)"


def _drift(stack: str) -> str:
    """Tell the verdict of the batch that was scored last."""
    batches = last_metadata("batch")
    if batches is None:
        on_stack(stack)
        from pipelines import runs

        batches = runs.last_metadata("inference", "report_predictions", "batch")
    for batch, when in batches:
        return f"{batch['verdict']} ({batch['input']}, {when:%Y-%m-%d %H:%M} UTC)"
    return "no batch checked yet: python run.py --pipeline inference --input 2022"
