"""Prepare, train and judge by partition, where no process may take as much memory as all tables would.

    python -m tests.engine.train_in_little_memory PARTITIONS WORK

Prints, in bytes, the size of the tables in memory, and what the driver and each worker may take beyond what
they had before.
"""

from __future__ import annotations

import json
import resource
import sys

import lightgbm  # noqa: F401 - before memory is counted
import pandas as pd

from accidents.data.partition_files import TablePart, read_manifest, read_part
from accidents.evaluation.metrics import EvaluationSettings
from accidents.training import tree_inputs
from accidents.training.fit_bags import ModelSettings
from accidents.training.split import PARTS, SplitSettings
from engine import evaluation, preparation, training
from engine.cluster import client_of, disconnect_all
from engine.settings import DaskSettings, LocalWorkers
from engine.splitting import split_rows
from engine.tasks import each

SHARE = 0.7  # of the tables' size
MODEL = ModelSettings(bags=2, n_estimators=3, n_jobs=1)
JUDGED = EvaluationSettings(n_bootstrap=100)


def size_of(source: str, part: TablePart) -> int:
    """Return the bytes that a partition's tables take in memory."""
    tables = read_part(source, part)
    frames = (tables.accidents, tables.places, tables.vehicles, tables.users)
    return int(sum(frame.memory_usage(deep=True).sum() for frame in frames))


def taken() -> int:
    """Return bytes of data that this process has asked the system for."""
    with open("/proc/self/statm", encoding="ascii") as status:
        return int(status.read().split()[5]) * resource.getpagesize()


def allow(more: int) -> None:
    """Let this process take so much beyond what it has; and learn in stretches that fit the test."""
    resource.setrlimit(resource.RLIMIT_DATA, (taken() + more,) * 2)
    tree_inputs.STRETCH, tree_inputs.SAMPLE = 10_000, 20_000


if __name__ == "__main__":
    source, work = sys.argv[1:]
    manifest = read_manifest(source)
    dask = DaskSettings(local=LocalWorkers(workers=2), folder=work)
    client = client_of(dask)
    sizes = each(dask, size_of, [(part.name, (source, part)) for part in manifest.parts], "Measuring")
    allowed = int(SHARE * sum(sizes))
    client.run(allow, allowed)
    allow(allowed)

    rows = preparation.build_rows(preparation.open_tables(manifest, manifest.years, dask), "dispatch")
    parts, _ = split_rows(rows, SplitSettings())
    learnt, later, tested = (parts[part] for part in PARTS)
    model = training.train(learnt, later, MODEL, "dispatch", seed=1)
    scores, results = evaluation.judge(model, later, tested, pd.DataFrame(), JUDGED, seed=1)
    disconnect_all()
    judged = results.model.metrics["roc_auc"].value
    print(json.dumps({"size": sum(sizes), "allowed": allowed, "scored": len(scores), "roc_auc": judged}))
