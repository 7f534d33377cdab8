"""Both engines, by command: the same files in, the same bundle out."""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from engine.settings import DaskSettings
from tests.pipelines.conftest import Project, make_project
from tests.processes import kill_all_of

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

# A refit too, and a champion to be compared with: every step that has rows to work on.
EASY = "gates: [{metric: roc_auc, min: 0.5}]\n\n"
SMALLER = {"model: {n_estimators: 60}": "model: {n_estimators: 10, bags: 2}",
           "accidents_per_year: 4000": "accidents_per_year: 2000"}  # fmt: skip
# Beyond so many rows baselines learn from some that are drawn: lowered, of our training rows too.
CAP = ("accidents/training/drawn_rows.py", "MOST_LEARNT = 500_000", "MOST_LEARNT = 1_000")
AT_WORK = 1.0  # seconds of processor time: what only looks after a worker takes none
PARTITIONS = DaskSettings().folder
ON_DASK = "engine: dask\ndask: {local: {workers: 2, memory_limit: 3GiB}, partition_rows: 1000}\n"


def bundles(project: Project) -> list[str]:
    """Digest of the bundle of every run, the newest first."""
    return project.python(
        "from zenml.client import Client\n"
        "import hashlib\n"
        "runs = Client().list_pipeline_runs(sort_by='desc:created', hydrate=True).items\n"
        "for run in runs:\n"
        "    made = run.steps['build_bundle'].outputs['bundle'][0].load()\n"
        "    print(hashlib.sha256((made.path / 'manifest.json').read_bytes()).hexdigest())\n"
    ).split()


def figures(project: Project) -> list[dict[str, object]]:
    import json

    return [json.loads(line) for line in project.python(
        "from zenml.client import Client\n"
        "import json\n"
        "runs = Client().list_pipeline_runs(sort_by='desc:created', hydrate=True).items\n"
        "for run in runs:\n"
        "    print(json.dumps(run.steps['evaluate_model'].outputs['results'][0].load()))\n"
    ).splitlines()]  # fmt: skip


def dashboard(project: Project) -> str:
    """What the newest run says of where Dask's dashboard was."""
    return project.python(
        "from zenml.client import Client\n"
        "(run,) = Client().list_pipeline_runs(sort_by='desc:created', size=1, hydrate=True).items\n"
        "print(run.steps['build_features'].run_metadata['dask_dashboard'])\n"
    ).strip()


def lower_the_cap(project: Project) -> None:
    name, usual, low = CAP
    text = (project.folder / name).read_text()
    assert usual in text
    (project.folder / name).write_text(text.replace(usual, low))


def kill_a_worker(folder: Path, killed: list[int]) -> threading.Thread:
    """Kill, once, one of Dask's workers of a project's command, when first results of theirs are written."""

    def kill() -> None:
        end = time.monotonic() + 400
        while not any((folder / PARTITIONS).rglob("*.parquet")) and time.monotonic() < end:
            time.sleep(0.1)
        while not killed and time.monotonic() < end:
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    at_work = process.cpu_times().user > AT_WORK and "spawn_main" in " ".join(
                        process.cmdline()
                    )
                    if at_work and process.cwd() == str(folder):
                        process.kill()
                        killed.append(process.pid)
                        break
            time.sleep(0.2)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def test_both_engines_make_the_same_bundle_though_a_worker_is_killed(tmp_path: Path) -> None:
    project = make_project(tmp_path / "a project")
    try:
        params = project.folder / "params.yaml"
        text = re.sub(r"^gates:.*?\n\n", EASY, params.read_text(), flags=re.M | re.S)
        for usual, small in SMALLER.items():
            assert usual in text
            text = text.replace(usual, small)
        params.write_text(text)
        lower_the_cap(project)
        project("--pipeline", "train", "--stack", "bare")
        config = tmp_path / "dask.yaml"
        config.write_text(ON_DASK)
        killed = list[int]()
        killer = kill_a_worker(project.folder, killed)
        told = project("--pipeline", "train", "--stack", "bare", "--config", str(config))
        killer.join(1)
        assert killed, "no worker came to its work"
        assert "this is version 1, nothing was registered" in told.stdout.replace("\n", " ")
        on_dask, local = bundles(project)
        assert on_dask == local
        measured = figures(project)
        pages = project.python(
            "from zenml.client import Client\n"
            "made = Client().list_artifact_versions(artifact='dask_report', size=50, hydrate=True).items\n"
            "for one in made:\n"
            "    print((one.load().path / 'dask_report.html').read_text()[:15].strip())\n"
        ).split("\n")
        assert len(pages) >= 6, pages
        assert {page.lower() for page in pages if page} == {"<!doctype html>"}
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/status", dashboard(project))
        for name in ("model", "at_threshold", "baselines", "slices", "behaviour"):
            assert measured[0][name] == measured[1][name], name
    finally:
        kill_all_of(project.folder)
