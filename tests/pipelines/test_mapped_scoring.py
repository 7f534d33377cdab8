"""The example of ZenML's mapped steps, by its command: a step a partition, each with its own predictions."""

from __future__ import annotations

import sys

import pytest

from accidents.data.partition_files import part_name
from accidents.data.sample_partitions import write_partitions
from tests.pipelines.conftest import Project

pytestmark = pytest.mark.slow
COMMAND = (sys.executable, "-m", "examples.mapped_scoring", "--input", "parts")
# Every mapped step of the newest run: which partition it had, how many predictions it made, and whether
# they are those of all partitions scored in one process.
LOOK = """
import json
import pandas as pd
from zenml.client import Client
from accidents.data.partition_files import read_manifest, read_part
from accidents.bundle import load_bundle
from engine.scoring import score_part
run = Client().list_pipeline_runs(pipeline="mapped_scoring", sort_by="desc:created", hydrate=True).items[0]
told = {}
for step in run.steps.values():
    if "partition_counts" in step.outputs and str(step.status) == "completed":
        counts = step.outputs["partition_counts"][0].load()
        made = step.outputs["partition_predictions"][0].load()
        bundle = load_bundle(step.inputs["bundle"][0].load().path)
        version = made["model_version"].iloc[0]
        tables = read_part("parts", read_manifest("parts").part(counts["partition"]))
        expected, *_ = score_part(tables, bundle, made["model_name"].iloc[0], version, "none")
        pd.testing.assert_frame_equal(made, expected)
        told[counts["partition"]] = len(made)
print(json.dumps(told))
"""


def test_each_partition_has_a_step_and_an_artifact_and_a_broken_one_is_told(trained: Project) -> None:
    parts = trained.folder / "parts"
    write_partitions(str(parts), (2022,), scale=2, accidents=100, processes=1)
    told = trained.shell(*COMMAND).stdout
    assert "2 partitions: 200 accidents scored, 0 set aside" in told
    assert "by accident-severity-dispatch version 1." in told
    whole = '{"year=2022/part-0000": 100, "year=2022/part-0001": 100}'
    assert trained.python(LOOK).strip() == whole
    torn = parts / part_name(2022, 1) / "users.parquet"
    torn.write_bytes(torn.read_bytes()[:500])
    failed = trained.shell(*COMMAND, check=False)
    assert failed.returncode == 1
    assert f"Error: {torn} is no Parquet file" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert trained.python(LOOK).strip() == '{"year=2022/part-0000": 100}'
