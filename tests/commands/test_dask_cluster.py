"""A stack file names a Dask cluster: runs on it use it, and `stack check` tries it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from accidents.__about__ import __version__
from accidents.errors import SettingsError
from commands.dask_cluster import check_cluster, configuration
from engine import cluster
from stacks.definition import read_stack
from stacks.errors import StackError
from tests.dask_processes import running, start_scheduler, start_worker
from tests.processes import free_port
from tests.stacks.conftest import write_stack
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
FOLDER = {"scheduler": "tcp://dask:8786", "folder": "s3://bucket/partitions"}


PODS = {"kubernetes": {"workers": 3, "image": "${IMAGE:-ours:{version}}"}, "folder": "s3://bucket/partitions"}


def named(folder: Path, dask: dict[str, Any]) -> Path:
    return write_stack(folder, "shared", {"dask": dask})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("engine: dask", FOLDER),
        ("engine: dask\ndask: {folder: other, wait_seconds: 5}", FOLDER | {"wait_seconds": 5}),
        ("engine: dask\ndask: {scheduler: tcp://x:1, folder: f}", {"scheduler": "tcp://x:1", "folder": "f"}),
        ("engine: dask\ndask: {local: {workers: 3}}", {"scheduler": None, "folder": ".serving/partitions"}),
        ("engine: local", {"scheduler": None}),
    ],
)  # fmt: skip
def test_runs_are_on_the_cluster_of_their_stack_unless_they_name_one(
    zenml_store: Path, tmp_path: Path, said: str, expected: dict[str, Any]
) -> None:
    config = tmp_path / "given.yaml"
    config.write_text(f"{said}\n", encoding="utf-8")
    dask = configuration("train", "shared", config, named(tmp_path, FOLDER)).dask
    assert dask.model_dump(include=set(expected)) == expected


def test_what_is_wrong_with_the_cluster_of_a_file_is_told(
    zenml_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "given.yaml"
    config.write_text("engine: dask\n", encoding="utf-8")
    with pytest.raises(StackError, match=r"`dask.schedular`, did you mean `scheduler`"):
        read_stack("shared", named(tmp_path, {"schedular": "tcp://x:1"}))
    with pytest.raises(StackError, match="`dask` must have `scheduler` or `kubernetes`, and not both"):
        read_stack("shared", named(tmp_path, PODS | FOLDER))
    with pytest.raises(
        SettingsError, match=r"stacks/shared.yaml: unknown key `dask.kubernetes.worker`.*workers"
    ):
        configuration("train", "shared", config, named(tmp_path, {"kubernetes": {"worker": 2}}))
    with pytest.raises(SettingsError, match=r"pods do not see .serving/partitions"):
        configuration("train", "shared", config, named(tmp_path, {"kubernetes": {}}))
    with pytest.raises(SettingsError, match=r"stacks/shared.yaml: `dask.scheduler` .*http://dask:8787"):
        configuration("train", "shared", config, named(tmp_path, {"scheduler": "http://dask:8787"}))
    folder = named(tmp_path, {"scheduler": "tcp://${NO_SUCH_NAME}:8786"})
    with pytest.raises(StackError, match="needs the environment variable NO_SUCH_NAME"):
        configuration("train", "shared", config, folder)
    config.write_text("engine: local\n", encoding="utf-8")
    configuration("train", "shared", config, folder)  # who is not on Dask needs no variable of it
    monkeypatch.setitem(sys.modules, "distributed", None)
    (finding,) = check_cluster("shared", named(tmp_path, FOLDER))
    assert not finding.well
    assert "`make dask` installs it" in finding.words


def test_a_stack_may_start_workers_in_kubernetes_for_each_run(
    zenml_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "given.yaml"
    config.write_text("engine: dask\ndask: {partition_rows: 500}\n", encoding="utf-8")
    dask = configuration("train", "shared", config, named(tmp_path, PODS)).dask
    assert dask.kubernetes is not None
    assert (dask.kubernetes.workers, dask.kubernetes.image_here) == (3, f"ours:{__version__}")
    assert (dask.folder, dask.partition_rows, dask.scheduler) == ("s3://bucket/partitions", 500, None)
    asked = []
    monkeypatch.setattr(
        "engine.kubernetes_cluster.can_start", lambda workers: asked.append(workers) or "it could"
    )
    assert [
        (each.what, each.well, each.words) for each in check_cluster("shared", named(tmp_path, PODS))
    ] == [("dask scheduler", True, "it could")]
    assert asked == [dask.kubernetes]


@pytest.mark.slow
def test_stack_check_tries_the_scheduler_the_workers_and_the_folder(
    zenml_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    port = free_port()
    monkeypatch.setenv("DASK_PORT", str(port))
    stack = {"scheduler": "tcp://127.0.0.1:${DASK_PORT}", "folder": str(tmp_path / "partitions")}
    address = f"tcp://127.0.0.1:{port}"

    def checked(patience: float = 30, **other: Any) -> dict[str, tuple[bool, str]]:
        monkeypatch.setattr(cluster, "PATIENCE", patience)
        return {
            finding.what: (finding.well, finding.words)
            for finding in check_cluster("shared", named(tmp_path, stack | other))
        }

    (told,) = checked(1).values()
    assert not told[0]
    assert f"No Dask scheduler answers at {address} within 1 s" in told[1]
    (tmp_path / "empty").mkdir()
    with running(start_scheduler(port, tmp_path)):
        with running(start_worker(address, tmp_path, folder=tmp_path / "empty")):
            (told,) = checked().values()
            assert not told[0]
            assert "1 Dask workers run other code" in told[1]
            assert "No module named 'engine'" in told[1]
        (told,) = checked(3).values()
        assert not told[0]
        assert f"scheduler at {address} has had no worker for 3 s: start some" in told[1]
        with running(start_worker(address, tmp_path)):
            assert checked() == {
                "dask scheduler": (True, f"{address} answers, with 1 workers of our code"),
                "dask partitions": (
                    True,
                    f"one of 1 workers wrote to {tmp_path}/partitions, and all and this process read it",
                ),
            }
            assert list((tmp_path / "partitions").iterdir()) == []
            well, words = checked(folder="/proc/nothing")["dask partitions"]
            assert not well
            assert "cannot write to /proc/nothing" in words
            assert "Name a `dask.folder` that every worker and this machine see" in words
