"""What docker-compose.yml's services are given: `python -m commands.platform [model [STACK] | monitor ...]`.

Without a word, in the container `settings`: the observers' files and the API's first keys, in .serving.
With `model`, on a laptop: what a stack serves, else `local`, where the platform's model server reads it.
With `monitor`, on a laptop: `run.py --pipeline monitor`, with the words that follow, on the platform's
prediction log and for its Prometheus. The champion is in the laptop's ZenML store, which no container sees.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from accidents.errors import AccidentsError
from accidents.predictions.store import VARIABLE
from commands.loop_settings import PUSHGATEWAY
from commands.project import ROOT, api_settings, console, on_stack
from commands.temporary_folder import scratch
from observability.addresses import METRICS_KEY, Addresses, write_configs
from stacks.environment import prepare_environment
from stacks.errors import StackError

SERVING = ROOT / ".serving"
CALLER = "caller"  # whose key `make up` tells of
AT = Addresses(
    api="api:8000",
    model_server="model-server:8087",
    prometheus="prometheus:9090",
    alertmanager="alertmanager:9093",
    pushgateway="pushgateway:9091",
    supervisor=None,
    loop=False,
)


def write_settings(folder: Path = SERVING) -> None:
    """Write what is shared; keys that are known stay."""
    from serving.api.operations.keys import Keys
    from serving.api.operations.provide_keys import provide_key

    keys = Keys(ROOT / api_settings().keys_file)
    provide_key(keys, CALLER, folder / CALLER)
    write_configs(folder / "watch", AT)
    provide_key(keys, "prometheus", folder / "watch" / METRICS_KEY, mode=0o640)


def models_folder() -> Path:
    """Return what docker-compose.yml mounts into the model server: MODELS, of the shell or of `.env`."""
    from stacks.placeholders import fill

    return ROOT / str(fill("${MODELS:-.serving/platform}", "make model"))


def publish_models(target: Path, stack: str = "local") -> list[str]:
    """Copy the champions that a stack serves, in MLServer's layout: NAME/model-settings.json and NAME/bundle.

    Raises AccidentsError if it serves none, or what serves is no version of its own.
    """
    from stacks.endpoints import State, endpoints_on
    from stacks.mlserver_layout import write_model
    from steps.support import champion_and_versions

    endpoints = endpoints_on(stack)
    deployed = {name: endpoints.endpoint(name).versions() for name in endpoints.names()} if endpoints else {}
    served = {name: of[0] for name, of in deployed.items() if of and of[0].state != State.stopped}
    if not served:
        raise AccidentsError(
            f"Stack {stack} serves no model. Run: python run.py --pipeline deploy --stack {stack}."
        )
    on_stack(stack)
    for name, model in served.items():
        bundle = champion_and_versions.bundle_of(champion_and_versions.version(name, model.version))
        if model.digest not in (None, bundle.digest):
            raise AccidentsError(
                f"{name} version {model.version} serves with another bundle: deploy it again."
            )
        write_model(target, name, model.version, bundle.folder, bundle.digest)
    return [f"{name} version {model.version}" for name, model in served.items()]


def addresses() -> dict[str, str]:
    """Return where a run on this machine finds the platform's log and Pushgateway, as its environment.

    Raises StackError if neither the shell nor `.env` has the log's password.
    """
    from stacks.placeholders import fill

    account = "predictions:${PREDICTIONS_DATABASE_PASSWORD}"
    variables = {
        VARIABLE: f"postgresql+psycopg://{account}@127.0.0.1:${{POSTGRES_PORT:-15432}}/predictions",
        PUSHGATEWAY: "http://127.0.0.1:${PUSHGATEWAY_PORT:-9091}",
    }
    return dict(fill(variables, "The platform's prediction log"))


def monitor(*words: str) -> None:
    """Become `run.py --pipeline monitor WORDS`, which looks at the platform."""
    command = [sys.executable, str(ROOT / "run.py"), "--pipeline", "monitor", *words]
    os.execve(sys.executable, command, os.environ | addresses())


def main(*words: str) -> int:
    """Do it; 1 where it cannot be done, with the reason."""
    try:
        match words:
            case ("monitor", *others):
                monitor(*others)
            case ("model",) | ("model", _):
                with scratch():
                    published = publish_models(models_folder(), *words[1:])
                console.print(f"For the platform: {', '.join(published)}.")
            case ():
                write_settings()
            case _:
                raise AccidentsError(
                    f"{' '.join(words)}: it takes no word, `model`, `model STACK` or `monitor ...`."
                )
    except (AccidentsError, StackError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    prepare_environment(ROOT)  # whose root `.env` is read from
    sys.exit(main(*sys.argv[1:]))
