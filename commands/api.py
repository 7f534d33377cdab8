"""`run.py serve` and `stop`: the API in front of what the stack's model deployer serves."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError

from accidents.errors import AccidentsError
from commands.background import Background
from commands.project import (
    ROOT,
    NoHttpError,
    api_settings,
    console,
    on_stack,
    open_own,
    require_prediction_log,
)
from stacks.errors import NotAppliedError, StackError

if TYPE_CHECKING:
    from accidents.params import Params
    from stacks.endpoints import Endpoint, Endpoints

SERVING = ROOT / ".serving"
API = Background(SERVING, "api")
EXAMPLE = Path("references/accident.json")
KEY = "ACCIDENTS_API_KEY"  # the environment variable that holds a caller's key
ASKED = "ACCIDENTS_MODEL_SERVER"  # tells the API which model server it asks
READY_SECONDS = 30


def serve_api(params: Params, stack: str, detach: bool, params_file: Path | None = None) -> None:
    """Run the API in its own environment: in this terminal until Ctrl-C, or in the background.

    Parameters
    ----------
    params_file : what `params` are of, for the loop that an alert starts; None for params.yaml.
    """
    from stacks.locked_environments import environment, environments_folder

    running = API.url
    if running:
        raise AccidentsError(f"The API runs already, at {running}. Stop it first: python run.py stop.")
    name, model_server = _deployed(params, stack)
    require_prediction_log()  # else it would log where configs/api.yaml says
    settings = api_settings()
    url = url_of(settings.host, settings.port)
    _require_free(settings.host, settings.port)
    environments = environments_folder(SERVING / "environments")
    python = environment(ROOT / "requirements" / "api.txt", environments)
    variables = {ASKED: model_server, "ACCIDENTS_MODEL_NAME": name}
    if not settings.hook_command:
        variables |= hook_variables(stack, params.stage, params_file)
    words = [str(python), "-m", "serving.api"]
    if not detach:
        console.print(how_to_call(url), highlight=False, soft_wrap=True)
        os.chdir(ROOT)
        os.execve(words[0], words, {**_environment(), **variables})
    API.start(words, {**_environment(), **variables}, url)
    _wait(url)
    console.print(how_to_call(url), highlight=False, soft_wrap=True)
    console.print("Stop it: [bold]python run.py stop[/]")


def stop_serving(stack: str, everywhere: bool = False) -> None:
    """Stop the API and every model server of the stack; what was deployed stays known.

    Parameters
    ----------
    everywhere : also those that serve on this machine for other stacks.

    Raises
    ------
    AccidentsError
        One could not be stopped, or asked; all others are.
    """
    console.print("API stopped." if API.stop() else _why_no_api_was_stopped())
    stopped, faults = 0, list[str]()
    asked = _endpoints_to_stop(stack, everywhere, faults)
    for name, endpoints in asked.items():
        with _noted(faults, f"stack {name}"), suppress(NotAppliedError):
            for endpoint in _serving(endpoints):
                with _noted(faults, f"{endpoint.name} of stack {name}"):
                    _stop(endpoint)
                    stopped += 1
    if asked and not faults:
        console.print(
            "Back again: [bold]python run.py --pipeline deploy[/]" if stopped else "No model was served."
        )
    if faults:
        raise AccidentsError("\n".join(["This may serve still:", *faults]))


def _endpoints_to_stop(stack: str, everywhere: bool, faults: list[str]) -> dict[str, Endpoints]:
    """Return those of the stack, by its name, and of others that serve on this machine."""
    from stacks.endpoints import applied_endpoints, every_endpoints, find_endpoints

    if everywhere:
        every = every_endpoints(stack).items()
        serving = {name: of for name, of in every if name == stack or of.on_this_machine}
        if stack not in serving:  # its file needs a variable that is not set here, perhaps
            with _noted(faults, f"stack {stack}"), suppress(NotAppliedError):
                serving[stack] = applied_endpoints(stack)
        return serving
    on_stack(stack)
    own = find_endpoints()
    return {stack: own} if own else {}


def _serving(endpoints: Endpoints) -> list[Endpoint]:
    """Return what should serve, also what has ended: its supervisor may be about to bring it back."""
    from stacks.endpoints import State

    deployed = [endpoints.endpoint(name) for name in endpoints.names()]
    return [endpoint for endpoint in deployed if endpoint.state().state != State.stopped]


def _stop(endpoint: Endpoint) -> None:
    endpoint.stop()
    numbers = " and ".join(version.version for version in endpoint.versions())
    console.print(f"{endpoint.name} version {numbers} stopped.")


@contextmanager
def _noted(faults: list[str], what: str) -> Iterator[None]:
    """Go on after what goes wrong with one of several."""
    try:
        yield
    except (AccidentsError, StackError) as error:
        faults.append(f"  {what}: {error}")


def _why_no_api_was_stopped() -> str:
    """Tell whether it runs all the same: only one that `serve --detach` has started is stopped from here."""
    settings = api_settings()
    url = url_of(settings.host, settings.port)
    try:
        stranger = stranger_at(url)
    except OSError:
        return "The API did not run."
    if stranger:
        return f"The API did not run; at {url} {stranger} answers."
    return f"The API at {url} runs on, for it was started in a terminal (Ctrl-C there ends it) or by systemd."


def _deployed(params: Params, stack: str) -> tuple[str, str]:
    """Name of the served model, and address of its server. Raises AccidentsError if it does not run."""
    on_stack(stack)
    from stacks.endpoints import State, active_endpoints
    from steps.support import champion_and_versions

    name = champion_and_versions.model_name(params.stage)
    endpoints = active_endpoints()
    endpoint = endpoints.endpoint(name)
    state = endpoint.state()
    if state.state != State.healthy:
        raise AccidentsError(
            f"{name} is not being served on stack {stack}: {state.reason}. "
            "Run: python run.py --pipeline deploy."
        )
    address = endpoint.v2_address()
    if address is None and not endpoints.on_this_machine:
        raise AccidentsError(
            f"{name} is served at {state.url}, which is not reached from here. Have the API run in the "
            "cluster (docs/kubernetes.md), or set `address` of the model deployer to where it is asked from "
            "outside."
        )
    if address is None:
        raise AccidentsError(
            f"{name} is served at {state.url} by a deployer of flavor {endpoints.flavor}, which does not "
            "speak the Open Inference Protocol that the API needs. Use a stack with an mlserver deployer: "
            "--stack local."
        )
    return name, address


def _require_free(host: str, port: int) -> None:
    """Raise AccidentsError where something listens already: ours would die while that one answers for it."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return
    who = stranger_at(url_of(host, port)) or "this project's API, started in another terminal,"
    raise AccidentsError(
        f"On {host}:{port} {who} listens already. Stop it, or set another `port` in configs/api.yaml "
        "(or ACCIDENTS_PORT)."
    )


def url_of(host: str, port: int) -> str:
    """Where the API listens."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def stranger_at(url: str) -> str | None:
    """Return what answers at an address, in words; None for this project's API.

    Raises OSError if nothing does.
    """
    from serving.api.http.project_identity import identity_of

    try:
        with open_own(f"{url}/health/live", timeout=3) as answer:
            identity = json.load(answer)["api"]
    except (HTTPError, NoHttpError, HTTPException, ValueError, KeyError, TypeError):
        return "another program"
    ours = identity == identity_of(api_settings())
    return None if ours else "the API of another project (or of another prediction log)"


def _wait(url: str) -> None:
    """Until the API is ready. Raises AccidentsError with its last words if it ends or takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and API.process():
        try:
            with open_own(f"{url}/health/ready", timeout=2):
                if stranger_at(url) is None:
                    return
        except OSError:
            pass
        time.sleep(0.2)
    words = API.log.read_text(encoding="utf-8", errors="replace").strip()[-1500:]
    API.stop()
    raise AccidentsError(f"The API did not become ready at {url}. Its log, {API.log.name}, says:\n{words}")


def how_to_call(url: str) -> str:
    """Where the API is, and a command to copy."""
    from commands.keys import key_is_asked

    asked = key_is_asked()
    key = f' -H "X-API-Key: ${KEY}"' if asked else ""
    hint = f"\nA key is asked for: put yours into {KEY}, or make one: run.py keys new.\n" if asked else ""
    return (
        f"API and the control room's page: {url}/   what it can do: {url}/docs\n{hint}\n"
        f"  curl -s {url}/predict -H 'Content-Type: application/json'{key} -d @{EXAMPLE}\n"
    )


def hook_variables(stack: str, stage: str, params_file: Path | None = None) -> dict[str, str]:
    """Return what tells the API the loop of the served model, and that of each model an alert may name."""
    from accidents.features.features_by_stage import STAGES
    from steps.support.champion_and_versions import model_name

    loops = {each: _loop(stack, each, params_file) for each in STAGES}
    by_model = {model_name(each): words for each, words in loops.items()}
    return {
        "ACCIDENTS_HOOK_COMMAND": json.dumps(loops[stage]),
        "ACCIDENTS_HOOK_COMMANDS": json.dumps(by_model),
    }


def _loop(stack: str, stage: str, params_file: Path | None) -> list[str]:
    """Return one look of the monitor, which may retrain, wherever it is started."""
    computed = [] if params_file is None else ["--params", str(params_file.absolute())]
    return [
        sys.executable, str(ROOT / "run.py"), "--pipeline", "monitor", "--stack", stack, "--stage", stage,
        *computed, "--reason", "alert",
    ]  # fmt: skip


def _environment() -> dict[str, str]:
    """Ours without what is meant for this process's ZenML.

    The loop that the API may start inherits it, and must find the same store and tracking server: how to get
    into them stays.
    """
    from stacks.shell_variables import LEFT_OUT

    store = ("ZENML_CONFIG_PATH", "ZENML_STORE_")
    ours = ("ZENML_", KEY, "PYTHONPATH", "VIRTUAL_ENV", *LEFT_OUT)
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(store) or not name.startswith(ours)
    }
