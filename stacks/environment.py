"""Where ZenML and MLflow keep their things, and what they must not do: set before either is imported."""

from __future__ import annotations

import atexit
import importlib.metadata
import logging
import os
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from stacks.cache_folder import home_variables
from stacks.env_file import read_env_file
from stacks.errors import StackError
from stacks.shell_variables import CONFIG, STORE, honoured, leave_out

STORE_FOLDER = ".zenml"
_ROOT = "ZENML_CUSTOM_SOURCE_ROOT"  # as we set it, also for our children

# Nothing leaves the machine, and nothing is asked of the person at the keyboard.
_NO_TELEMETRY = {
    "ZENML_ANALYTICS_OPT_IN": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Evidently stops at any value, MLflow only at this one.
    "DO_NOT_TRACK": "true",
    "BENTOML_DO_NOT_TRACK": "true",
    "ZENML_AUTO_OPEN_DASHBOARD": "false",
}

# ZenML and MLflow say a dozen things a run that only they need to know.
_QUIET = {
    "ZENML_LOGGING_VERBOSITY": "WARNING",
    "ZENML_ENABLE_RICH_TRACEBACK": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

# LightGBM enters an OpenMP region per tree and, by default, spins at its end: beside another busy process,
# training took four times as long.
_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}

# Of each bucket gcsfs would ask another of Google's services which kind it is, and needs a right for that.
_BUCKETS = {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}

READ_AT_IMPORT = {**_NO_TELEMETRY, **_QUIET, **_THREADS, **_BUCKETS}

# Warnings of things that are as they should be: each by its logger, and how it begins.
_NOISE = {
    # ... with its stack trace: the exception goes on to run.py, which tells what a person needs to know
    "zenml.orchestrators.local.local_orchestrator": "Step %s failed",
    "zenml.orchestrators.step_launcher": "Failed to run step",
    "mlflow.store.db.utils": "SQLAlchemy database error",  # ... the same
    "urllib3.connectionpool": "Retrying (",  # ... the same
    "azure.identity._internal.get_token_mixin": "",  # ... the same
    "zenml.environment": "Failed to get list of installed Python packages",  # an image has neither pip nor uv
    # ... resources, which our pods do get; a delay between tries, which is Kubernetes' own
    "zenml.integrations.kubernetes.orchestrators.kubernetes_orchestrator": "Specifying",
    # ... the same: an artifact store that is gone fails the step itself
    "zenml.log_stores.artifact.artifact_log_exporter": "Failed to",
    "zenml.zen_stores.base_zen_store": "Setting the",  # ... global active stack to default (a new store)
    "zenml.integrations.mlflow.experiment_trackers.mlflow_experiment_tracker": (
        "Failed to disable MLflow autologging"  # ... of frameworks that are not installed
    ),
}


def prepare_environment(root: Path) -> Path:
    """Set the environment ZenML, MLflow and Evidently read at import; return ZenML's store folder.

    Call it first, with the project's root. Values already in the environment win, so `ZENML_CONFIG_PATH`
    moves the store, whatever `.env` says, and `ZENML_LOGGING_VERBOSITY=INFO` brings ZenML's own messages
    back; those that would lead astray go. Both that and a store of the shell's are told on standard error, by
    the first of our processes: stacks/shell_variables.py. No file is written.

    Raises
    ------
    StackError
        ZenML was imported before, too late for these values to be read; or others may read the key of ZenML's
        server in `.env`.
    """
    root = root.resolve()
    _refuse_if_too_late(root)
    places = {
        CONFIG: str(root / STORE_FOLDER),
        # Our flavors and steps are found from here, whatever the working directory ...
        _ROOT: str(root),
        # ... and a `.zen` folder of somebody else's above the working directory is not taken for ours.
        "ZENML_REPOSITORY_PATH": str(root),
    }
    for line in _decide_on_shell(root):
        print(line, file=sys.stderr)
    for name, value in {**places, **READ_AT_IMPORT}.items():
        os.environ.setdefault(name, value)
    os.environ.update(home_variables(root))
    _put_own_programs_on_path()
    for logger, beginning in _NOISE.items():
        logging.getLogger(logger).addFilter(_Noise(beginning))
    keep_google_quiet()
    atexit.register(_leave_logs_flushed)
    _look_through_packages_once()
    _take_store_of_env_file(root)
    _keep_to_own_store(store_folder())
    return store_folder()


def _decide_on_shell(root: Path) -> list[str]:
    """Leave out what leads astray; say so, and which store the shell names, unless a parent has said it."""
    is_child = os.environ.get(_ROOT) == str(root)
    stores = Path(os.environ.get(CONFIG) or root / STORE_FOLDER).resolve() / "local_stores"
    lines = leave_out(os.environ, ours=(str(root), str(stores)))
    written = read_env_file(root, STORE).items()  # told by whoever started this: the API its loop, for one
    shell = {name: value for name, value in os.environ.items() if (name, value) not in written}
    return lines if is_child else lines + honoured(shell, root / STORE_FOLDER)


def keep_google_quiet() -> None:
    """Pass over what each of Google's libraries says: how long it goes on with this Python: years."""
    warnings.filterwarnings("ignore", r"You are using a Python version .* which Google will stop supporting")


def _put_own_programs_on_path() -> None:
    """MLflow's server starts `uvicorn` by name, which is not found unless the environment is activated."""
    own, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if own not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([own, path])


def _look_through_packages_once() -> None:
    """Keep what ZenML asks for each artifact of a library's type: which package brings which module.

    The answer is the same as long as a process runs, and takes most of a second each time.
    """
    importlib.metadata.packages_distributions = cache(importlib.metadata.packages_distributions)


def _leave_logs_flushed() -> None:
    """Keep OpenTelemetry's log handler, which ZenML makes, from starting a thread as Python ends.

    Python 3.12 refuses that, with a stack trace. Nothing is lost: what the handler would flush, its provider
    flushes at the end by itself.
    """
    module = sys.modules.get("opentelemetry.instrumentation.logging.handler")
    if module is not None:
        module.LoggingHandler.flush = lambda _: None


@dataclass(frozen=True)
class _Noise:
    """A logging filter; equal ones are added to a logger once."""

    beginning: str

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(self.beginning)


def _is_own_dashboard(url: str, folder: Path) -> bool:
    """Whether this is the dashboard on this machine: unlike a forwarded server it needs no credentials."""
    credentials = folder / "credentials.yaml"
    known = credentials.is_file() and url in credentials.read_text(encoding="utf-8")
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1") and not known


def store_folder() -> Path:
    """Return the folder of ZenML's store, as `prepare_environment` or the user set it."""
    return Path(os.environ[CONFIG]).resolve()


def store_url() -> str:
    """Return ZenML's address of its store, as it finds it: in the environment, else in its configuration."""
    return os.environ.get("ZENML_STORE_URL") or _configured_store(store_folder())


def project_root() -> Path:
    """Return the project's root, as `prepare_environment` or the user set it."""
    return Path(os.environ[_ROOT]).resolve()


def _take_store_of_env_file(root: Path) -> None:
    """Have ZenML find its server in `.env`, too, as stack files do what they leave open.

    Not where the shell says otherwise of any part: a key is for one server. Nor where the store is elsewhere
    than in the project's folder: who moves it, as tests do, wants no other.
    """
    if store_folder() != (root / STORE_FOLDER).resolve():
        return
    written = read_env_file(root, STORE)
    shell = {name: value for name, value in os.environ.items() if name.startswith(STORE)}
    if all(written.get(name, value) == value for name, value in shell.items()):
        os.environ.update(written)


def _keep_to_own_store(folder: Path) -> None:
    """Undo two things ZenML's configuration remembers and should not.

    After `zenml login --local` every run goes through the dashboard, and fails, after half a minute, once
    that is gone. And a project folder that was moved or copied would use the database at its old place.
    """
    if any(name.startswith(STORE) for name in os.environ):
        return
    own, url = _own_store(folder), _configured_store(folder)
    if (url.startswith("sqlite:") and url != own) or _is_own_dashboard(url, folder):
        os.environ["ZENML_STORE_URL"] = own


def _own_store(folder: Path) -> str:
    return f"sqlite:///{folder}/local_stores/default_zen_store/zenml.db"


def _configured_store(folder: Path) -> str:
    """Return the address in ZenML's configuration; that of its own store where it says none."""
    config = folder / "config.yaml"
    if not config.is_file():
        return _own_store(folder)
    try:
        store = (yaml.safe_load(config.read_text(encoding="utf-8")) or {}).get("store") or {}
    except (yaml.YAMLError, AttributeError) as error:
        raise StackError(
            f"{config} is not ZenML's configuration any more. Delete it; ZenML makes it anew."
        ) from error
    return str(store.get("url", _own_store(folder)))


def _refuse_if_too_late(root: Path) -> None:
    if "zenml" in sys.modules and _ROOT not in os.environ:
        raise StackError(
            f"prepare_environment({str(root)!r}) was called after `import zenml`, which has read its "
            "environment already. Call it before anything that imports zenml."
        )
