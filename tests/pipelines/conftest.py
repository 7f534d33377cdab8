"""A copy of the project in a temporary folder, run from the command line as a person would."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from accidents.files import ROOT
from benchmarks.project_copy import copy_project
from tests.compiled import compile_once
from tests.processes import kill_all_of
from tests.warm import CAN_FORK, Process

SMALL = {"accidents_per_year: 20000": "accidents_per_year: 4000", "n_bootstrap: 500": "n_bootstrap: 100",
         "model: {}": "model: {n_estimators: 60}",
         "minutes: 60": "minutes: 0.1", "every_seconds: 10": "every_seconds: 1"}  # fmt: skip
# Model servers of several projects run at once.
OURS = """lock: "{root}/requirements/serve.txt"
      code: "{root}\""""
ANY_PORT = f"""{OURS}
      http_port: 0
      grpc_port: 0
      metrics_port: 0
      supervisor_port: 0
      restarts: 0"""  # a test that kills the server looks at what others do then
BIN = Path(sys.executable).parent


START = """
from pathlib import Path
from stacks.environment import prepare_environment
prepare_environment(Path("."))
"""
# pyarrow's threads may still hold a Python object of a frame just read when the interpreter ends, which then
# aborts ("terminate called without an active exception"), once in sixty times: end without taking it down.
END = """
import os, sys
sys.stdout.flush()
os._exit(0)
"""


class Project:
    """A project folder and the commands that people type there.

    Attributes
    ----------
    timeout : seconds that a command may take.
    """

    timeout = 600.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ours = {"ZENML_CONFIG_PATH", "ZENML_CUSTOM_SOURCE_ROOT", "ZENML_REPOSITORY_PATH"}
        environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ours and not key.startswith("MLFLOW_")
        }
        # Bytecode, or every start costs twice the time; no colours, and lines as long as they want to be.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.environment = environment | {
            "COLUMNS": "200",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            # Built once for all tests of this machine.
            "ACCIDENTS_ENVIRONMENTS": str(ROOT / ".serving" / "environments"),
        }

    def __call__(
        self, *words: str, check: bool = True, cold: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """`python run.py WORDS`; `cold` starts a Python for it: tests/warm.py."""
        if cold:
            return self.shell(sys.executable, "run.py", *words, check=check)
        return self.forked("run.py", *words, check=check)

    def shell(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Any command in the project's folder."""
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=self.timeout
        )
        return _checked(done) if check else done

    def start(self, *words: str) -> Process | subprocess.Popen[str]:
        """`python run.py WORDS`, not waited for, in a session of its own."""
        if CAN_FORK:
            return Process(["run.py", *words], self.folder, self.environment, merged=True, session=True)
        return subprocess.Popen(
            [sys.executable, "run.py", *words], cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def python(self, code: str) -> str:
        """What `code` prints with the project's store active."""
        return self.forked("-c", START + code + END).stdout

    def forked(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`python WORDS` in the project's folder, without the seconds of importing: tests/warm.py."""
        if not CAN_FORK:
            return self.shell(sys.executable, *words, check=check)
        process = Process([*words], self.folder, self.environment)
        try:
            out, err = process.communicate(self.timeout)
        except BaseException:
            process.kill()
            raise
        done = subprocess.CompletedProcess(words, process.wait(), out, err)
        return _checked(done) if check else done


def _checked(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    if done.returncode:
        words = " ".join(done.args)
        pytest.fail(f"{words} exited {done.returncode}:\n{done.stdout}\n{done.stderr}", pytrace=False)
    return done


def make_project(folder: Path) -> Project:
    """A copy of the project's own files with a small experiment in params.yaml."""
    compile_once()
    copy_project(folder, compiled=True)
    return made_small(folder)


def made_small(folder: Path) -> Project:
    """The project in a folder, with a small experiment in its params.yaml, and any ports."""
    params = folder / "params.yaml"
    text = params.read_text(encoding="utf-8")
    for usual, small in SMALL.items():
        assert usual in text, usual
        text = text.replace(usual, small)
    # The gates of the full sample are too strict for a small one; what they refuse is tested in accidents/.
    gates = "gates: [{metric: roc_auc, min: 0.6}]\n\n"
    params.write_text(re.sub(r"^gates:.*?(?=^promotion:)", gates, text, flags=re.M | re.S), encoding="utf-8")
    for stack in (folder / "stacks").glob("*.yaml"):
        stack.write_text(stack.read_text(encoding="utf-8").replace(OURS, ANY_PORT))
    return Project(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Any test may have to wait for several trainings: minutes, where other work runs beside."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One copy for the tests of a module; nothing of it runs on after them."""
    made = make_project(tmp_path_factory.mktemp("project") / "a project")
    yield made
    kill_all_of(made.folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One with a version, the champion: it trains once a test worker, and each module has it as it was then.

    It comes back to the same place, as the stores of ZenML and MLflow name files by their whole path.
    """
    place = tmp_path_factory.getbasetemp()
    folder, kept = place / "trained" / "a project", place / "kept"
    try:
        if kept.exists():
            shutil.copytree(kept, folder)
        else:
            folder.parent.mkdir()
            make_project(folder)("--pipeline", "train")
            shutil.copytree(folder, kept)
        yield Project(folder)
    finally:
        kill_all_of(folder)
        shutil.rmtree(folder.parent)
