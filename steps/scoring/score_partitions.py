"""Accidents in partitions to predictions in partitions, on Dask."""

import os
from typing import Annotated, Any

from zenml import step

from accidents.data.dataset import DVC_REMOTE
from accidents.data.partition_files import is_partitioned, read_manifest
from accidents.data.sources.settings import DataSettings
from accidents.errors import SourceError
from accidents.scoring.batch.inputs import raw_year
from accidents.scoring.score import Explained
from engine.preparation import open_tables, require_tables_once, tables_of
from engine.scoring import score_tables
from engine.settings import DaskSettings
from steps.folder import Folder
from steps.support.cluster_report import on_cluster
from steps.support.references import VersionReference


@step(enable_cache=False)  # what it makes is outside the artifact store, and may be gone
def score_partitions(
    given: str,
    input_version: str,
    data: DataSettings,
    bundle: Folder,
    version: VersionReference,
    reasons: str,
    output: str,
    replace: bool,
    dask: DaskSettings,
) -> Annotated[dict[str, Any], "scored"]:
    """Score what `given` names, partitions or a raw year, into `output`; return what its manifest says.

    With `replace`, what other predictions are there goes.
    """
    explained: Explained = reasons  # type: ignore[assignment]  # checked on the command line
    manifest = read_manifest(given) if is_partitioned(given) else None
    if manifest is not None and manifest.version != input_version:
        raise SourceError(f"--input {given} is not what it was when the run began: run it again.")
    reading = None
    with on_cluster(dask):
        if manifest is not None:
            tables = open_tables(manifest, manifest.years, dask)
            require_tables_once(tables)
        else:
            raw = raw_year(given, data, input_version, os.environ.get(DVC_REMOTE))
            tables = tables_of(raw, [int(given)], dask)
            reading = tables.quality
        loaded = version.load(bundle)
        return score_tables(
            tables, loaded, version.name, version.version, explained, output, replace, reading
        )
