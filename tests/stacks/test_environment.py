"""What is set before ZenML is imported, and which store a run keeps to."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stacks.cache_folder import home_variables
from stacks.environment import prepare_environment
from stacks.errors import StackError
from stacks.shell_variables import LEFT_OUT, leave_out
from tests.zenml_store import isolated_environment


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing yet, put back afterwards, in a process where zenml is not imported."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("ZENML_", "MLFLOW_")) or name == "DO_NOT_TRACK":
            monkeypatch.delenv(name)
    monkeypatch.setattr(
        sys, "modules", {name: module for name, module in sys.modules.items() if name != "zenml"}
    )
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(
        importlib.metadata, "packages_distributions", importlib.metadata.packages_distributions
    )


def configure(folder: Path, url: str, kind: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"store": {"url": url, "type": kind}}), encoding="utf-8"
    )


@pytest.mark.usefixtures("fresh")
def test_packages_are_looked_through_once(tmp_path: Path) -> None:
    prepare_environment(tmp_path)
    assert importlib.metadata.packages_distributions() is importlib.metadata.packages_distributions()


@pytest.mark.usefixtures("fresh")
def test_everything_stays_in_the_project(tmp_path: Path) -> None:
    assert prepare_environment(tmp_path) == tmp_path / ".zenml"
    assert os.environ["ZENML_CUSTOM_SOURCE_ROOT"] == str(tmp_path)
    assert os.environ["ZENML_ANALYTICS_OPT_IN"] == "false"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == os.environ["DO_NOT_TRACK"] == "true"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("fresh")
def test_what_is_set_already_wins(tmp_path: Path) -> None:
    os.environ["ZENML_CONFIG_PATH"] = str(tmp_path / "mine")
    os.environ["ZENML_LOGGING_VERBOSITY"] = "INFO"
    assert prepare_environment(tmp_path) == tmp_path / "mine"
    assert os.environ["ZENML_LOGGING_VERBOSITY"] == "INFO"


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("url", "kind"),
    [("http://127.0.0.1:8237", "rest"), ("sqlite:////somewhere/else/zenml.db", "sql")],
    ids=["a dashboard that may be gone", "a folder that was moved"],
)
def test_store_is_the_projects_own(tmp_path: Path, url: str, kind: str) -> None:
    configure(tmp_path / ".zenml", url, kind)
    prepare_environment(tmp_path)
    own = tmp_path / ".zenml" / "local_stores" / "default_zen_store" / "zenml.db"
    assert os.environ["ZENML_STORE_URL"] == f"sqlite:///{own}"


@pytest.mark.usefixtures("fresh")
def test_server_one_is_logged_in_to_is_kept(tmp_path: Path) -> None:
    for url in ("https://zenml.example.org", "http://localhost:8080"):
        configure(tmp_path / ".zenml", url, "rest")
        (tmp_path / ".zenml" / "credentials.yaml").write_text(f"{url}: {{}}\n", encoding="utf-8")
        prepare_environment(tmp_path)
        assert "ZENML_STORE_URL" not in os.environ


@pytest.mark.usefixtures("fresh")
def test_store_in_the_environment_is_kept(tmp_path: Path) -> None:
    configure(tmp_path / ".zenml", "http://127.0.0.1:8237", "rest")
    os.environ["ZENML_STORE_URL"] = "https://zenml.example.org"
    prepare_environment(tmp_path)
    assert os.environ["ZENML_STORE_URL"] == "https://zenml.example.org"


KEY = {"ZENML_STORE_URL": "https://zenml.example.org", "ZENML_STORE_API_KEY": "a-key"}


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("shell", "taken"),
    [
        ({}, True),
        ({"ZENML_STORE_URL": "https://zenml.example.org"}, True),
        ({"ZENML_STORE_URL": "https://other.example.org"}, False),
        ({"ZENML_CONFIG_PATH": "elsewhere"}, False),
    ],
    ids=["nothing", "the same", "another server", "another folder"],
)
def test_the_store_that_the_projects_file_names_is_zenmls_unless_the_shell_names_another(
    shell: dict[str, str], taken: bool, tmp_path: Path
) -> None:
    lines = [f"{name}={value}\n" for name, value in {**KEY, "S3_SECRET_KEY": "of a stack"}.items()]
    (tmp_path / ".env").write_text("".join(lines), encoding="utf-8")
    (tmp_path / ".env").chmod(0o600)
    os.environ.update(shell)
    prepare_environment(tmp_path)
    found = {name: value for name, value in os.environ.items() if name.startswith("ZENML_STORE_")}
    of_shell = {name: value for name, value in shell.items() if name in KEY}
    assert found == (KEY if taken else of_shell)
    assert "S3_SECRET_KEY" not in os.environ


@pytest.mark.usefixtures("fresh")
def test_a_key_that_others_may_read_is_refused_and_another_file_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1\nZENML_STORE_URL=\n", encoding="utf-8")
    (tmp_path / ".env").chmod(0o644)
    prepare_environment(tmp_path)
    (tmp_path / ".env").write_text("ZENML_STORE_API_KEY=a-secret\n", encoding="utf-8")
    with pytest.raises(StackError, match="others may read it: chmod 600"):
        prepare_environment(tmp_path)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("text", ["store: [", "only words"])
def test_spoilt_configuration(tmp_path: Path, text: str) -> None:
    (tmp_path / ".zenml").mkdir()
    (tmp_path / ".zenml" / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(StackError, match="Delete it"):
        prepare_environment(tmp_path)


@pytest.mark.usefixtures("fresh")
def test_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zenml", sys)
    with pytest.raises(StackError, match="after `import zenml`"):
        prepare_environment(tmp_path)


# As ZenML's log store does. Python 3.12.1 starts no thread at its end; here no Python does.
LOGS = """
import sys, threading
from pathlib import Path
from stacks.environment import prepare_environment
prepare_environment(Path(sys.argv[1]))
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
handler = LoggingHandler(logger_provider=LoggerProvider())
def refuse(self):
    raise RuntimeError("can't create new thread at interpreter shutdown")
threading.Thread.start = refuse
"""


def test_no_thread_is_started_as_python_ends(tmp_path: Path) -> None:
    words = [sys.executable, "-W", "ignore", "-c", LOGS, str(tmp_path)]
    done = subprocess.run(
        words, env=isolated_environment(tmp_path / ".zenml"), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("home", ["/dev/null/home", "/proc/home"])
def test_a_home_that_cannot_be_written_is_not_needed(
    tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)
    prepare_environment(tmp_path)
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / ".cache")
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / ".cache" / "matplotlib")
    assert os.environ["HOME"] == home  # what is only read there is found still
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert home_variables(tmp_path).keys() == {"MPLCONFIGDIR"}


def test_a_home_that_can_be_written_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home_variables(tmp_path / "project") == {}


def test_a_user_that_the_system_does_not_know_has_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert home_variables(tmp_path)["HOME"] == str(tmp_path / ".cache" / "home")
    assert home_variables(tmp_path)["XDG_CACHE_HOME"] == str(tmp_path / ".cache")


@pytest.mark.usefixtures("fresh")
def test_what_the_shell_says_of_other_projects_is_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ.update(dict.fromkeys(LEFT_OUT, "of another project"))
    os.environ["MLFLOW_TRACKING_TOKEN"] = "a credential of ours"
    foreign = ("MLFLOW_REGISTRY_URI", "ZENML_ACTIVE_STACK_ID", "ZENML_ACTIVE_PROJECT_ID", "GIT_DIR")
    assert set(foreign) <= LEFT_OUT.keys()
    prepare_environment(tmp_path)
    told = capsys.readouterr().err
    assert all(f"{name} of the shell is not used: " in told for name in LEFT_OUT)
    assert {os.environ.get(name) for name in LEFT_OUT} == {None, str(tmp_path)}
    assert os.environ["MLFLOW_TRACKING_TOKEN"] == "a credential of ours"
    prepare_environment(tmp_path)
    assert capsys.readouterr().err == "", "ours are ours"


# Read by ZenML, MLflow, git or Prometheus' client, each found to lead astray once: not taken from the code.
LEADS_ASTRAY = (
    "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_ACTIVE_MODEL_ID", "ZENML_ACTIVE_STACK_ID", "ZENML_ACTIVE_PROJECT_ID", "ZENML_LOCAL_STORES_PATH",
    "ZENML_REPOSITORY_PATH", "ZENML_CUSTOM_SOURCE_ROOT", "GIT_DIR", "GIT_WORK_TREE",
    "PROMETHEUS_MULTIPROC_DIR",
)  # fmt: skip


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("name", LEADS_ASTRAY)
def test_a_variable_that_leads_astray_is_left_out_and_told(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ[name] = "/of/another/project"
    prepare_environment(tmp_path)
    assert os.environ.get(name) in (None, str(tmp_path))
    assert capsys.readouterr().err.startswith(f"{name} of the shell is not used: ")


@pytest.mark.usefixtures("fresh")
def test_local_stores_of_our_own_store_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ZenML tells a step's container where they are."""
    os.environ["ZENML_LOCAL_STORES_PATH"] = str(tmp_path / ".zenml" / "local_stores")
    prepare_environment(tmp_path)
    assert (os.environ["ZENML_LOCAL_STORES_PATH"], capsys.readouterr().err) == (
        str(tmp_path / ".zenml" / "local_stores"), "",
    )  # fmt: skip


def test_zenmls_default_store_is_the_one_that_we_say_it_is(tmp_path: Path) -> None:
    said = (
        "from stacks.environment import *; prepare_environment(Path(sys.argv[1])); "
        "from zenml.config.global_config import GlobalConfiguration; "
        "print(store_url(), GlobalConfiguration().store_configuration.url)"
    )
    environment = isolated_environment(tmp_path) | {"ZENML_LOCAL_STORES_PATH": str(tmp_path / "theirs")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", said, str(tmp_path)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    ours, zenmls = done.stdout.split()
    assert ours == zenmls


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("ZENML_STORE_URL", "https://zenml.example.org", "https://zenml.example.org"),
        ("ZENML_STORE_URL", "mysql://ann:p@ss@db.example.org/zenml", "mysql://db.example.org/zenml"),
        ("ZENML_STORE_URL", "sqlite:////srv/a@b/zenml.db", "sqlite:////srv/a@b/zenml.db"),
        ("ZENML_CONFIG_PATH", "/srv/theirs", "/srv/theirs"),
    ],
)
def test_a_store_that_the_shell_names_is_told_once(
    name: str, value: str, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ[name] = value
    prepare_environment(tmp_path)
    told = capsys.readouterr().err
    assert told.startswith(f"{name} of the shell is used: ZenML's store ")
    assert told.endswith(f" {shown}.\n")
    prepare_environment(tmp_path)  # as a child of ours does
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("fresh")
def test_a_store_of_our_own_or_of_the_env_file_is_not_told_as_the_shells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ["ZENML_CONFIG_PATH"] = str(tmp_path / ".zenml")
    (tmp_path / ".env").write_text("ZENML_STORE_URL=https://zenml.example.org\n", encoding="utf-8")
    (tmp_path / ".env").chmod(0o600)
    prepare_environment(tmp_path)
    assert os.environ["ZENML_STORE_URL"] == "https://zenml.example.org"
    assert capsys.readouterr().err == ""


# As a command that pushes what the monitor found, and as a supervisor that a service starts by itself.
PUSHES = (
    "import commands.push; from prometheus_client import *; Gauge('a', 'b', registry=CollectorRegistry())"
)
MEASURES = "from stacks.components.mlserver.supervisor import Metrics; Metrics()"


@pytest.mark.parametrize(
    ("said", "prepares"), [(PUSHES, True), (MEASURES, False)], ids=["push", "supervisor"]
)
def test_a_folder_of_metrics_that_another_project_names_is_not_looked_for(
    said: str, prepares: bool, tmp_path: Path
) -> None:
    root = "from stacks.environment import *; prepare_environment(Path(sys.argv[1])); " if prepares else ""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", root + said, str(tmp_path)],
        env=isolated_environment(tmp_path) | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "gone")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_store_that_is_set_to_nothing_is_not_set() -> None:
    variables = {"ZENML_STORE_URL": "", "ZENML_CONFIG_PATH": "", "ZENML_STORE_API_KEY": "a key", "HOME": ""}
    assert leave_out(variables, ours=("/project",)) == []
    assert variables == {"ZENML_STORE_API_KEY": "a key", "HOME": ""}
