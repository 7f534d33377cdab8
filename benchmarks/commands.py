"""How long the commands take that compute nothing: `--help` and `status`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from accidents.errors import AccidentsError
from accidents.progress import track
from benchmarks.options import Options
from benchmarks.project_copy import copy_project
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.served_project import Project

TITLE = "Commands that compute nothing"
MOST_SECONDS = {"--help": 0.5, "status": 2.0}
STORE = "from zenml.client import Client; Client().zen_store"
# What each is held against; ZenML's store cannot be asked in less than importing ZenML takes.
WAYS = {
    "python, and nothing": ["-c", "pass"],
    "run.py --help": ["run.py", "--help"],
    "import pandas, for comparison": ["-c", "import pandas"],
    "run.py status": ["run.py", "status"],
    "ZenML opens its store, for comparison": ["-c", STORE],
}


def run(options: Options) -> Outcome:
    """Each in turn, several times, on a store with its stack applied."""
    rounds = 1 if options.quick else 7
    with tempfile.TemporaryDirectory(prefix="commands-") as place:
        project = Project(copy_project(Path(place) / "project"))
        project.environment["ZENML_CONFIG_PATH"] = str(project.folder / ".zenml")
        project.run("status")  # makes the store, and compiles
        taken: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in track(range(rounds), "Commands"):
            for way, words in WAYS.items():
                taken[way].append(_seconds(project, words))
    seconds = {way: statistics.median(times) for way, times in taken.items()}
    figures = tuple(
        Figure(
            what=f"`run.py {option}`",
            target=f"at most {most:g} s",
            figure=f"{seconds[f'run.py {option}']:.2f} s",
            met=seconds[f"run.py {option}"] <= most,
        )
        for option, most in MOST_SECONDS.items()
    )
    about = (
        "From start to end of Python, with bytecode, on a store with a stack and no model. "
        f"Medians of {rounds}, in turn."
    )
    rows = [
        (way, f"{seconds_of:.2f}", f"{seconds_of / seconds['run.py --help']:.1f}")
        for way, seconds_of in seconds.items()
    ]
    return Outcome(about=about, figures=figures, body=table(("", "seconds", "ratio to `--help`"), rows))


def _seconds(project: Project, words: list[str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words], cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    if done.returncode:
        raise AccidentsError(f"python {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return time.perf_counter() - started
