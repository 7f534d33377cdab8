"""A pipeline that finds out how many steps it has: one for each partition of a folder.

ZenML calls such a pipeline dynamic. Each step's run has what it read, what it made, its time, its log and its
retries in ZenML's store; docs/scaling.md says when that is worth more than `engine: dask`.
"""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from zenml import pipeline, step, unmapped

from accidents.data.partition_files import Manifest, ids_of, read_manifest, read_part, require_once
from accidents.errors import SourceError
from accidents.scoring.score import Explained
from engine.scoring import score_part
from steps.folder import Folder
from steps.support.references import VersionReference, bundle_of


def _manifest(source: str, version: str) -> Manifest:
    """Read which partitions there are. Raises SourceError if they are not those that were promised."""
    manifest = read_manifest(source)
    if manifest.version != version:
        raise SourceError(f"{source} is not what it was when the run began: run it again.")
    return manifest


@step
def list_partitions(source: str, source_version: str) -> Annotated[list[str], "partitions"]:
    """Return the names of the partitions. Raises DataError for an accident in two of them."""
    names = [part.name for part in _manifest(source, source_version).parts]
    require_once(source, (ids_of(source, name) for name in names))
    return names


@step
def score_partition(
    partition: str, source: str, source_version: str, bundle: Folder, version: VersionReference, reasons: str
) -> tuple[
    Annotated[pd.DataFrame, "partition_predictions"],
    Annotated[pd.DataFrame, "partition_set_aside"],
    Annotated[dict[str, Any], "partition_counts"],
]:
    """Score one partition; its predictions are an artifact of its own."""
    explained: Explained = reasons  # type: ignore[assignment]  # checked on the command line
    tables = read_part(source, _manifest(source, source_version).part(partition))
    loaded = version.load(bundle)
    predictions, aside, _ = score_part(tables, loaded, version.name, version.version, explained)
    counts = {
        "partition": partition,
        "scored": len(predictions),
        "set_aside": len(aside),
        "alerts": int(predictions["alert"].sum()),
    }
    return predictions, aside, counts


@step
def gather_counts(parts: list[dict[str, Any]]) -> Annotated[dict[str, Any], "counts"]:
    """Add up what each partition gave: its counts come here, its predictions do not."""
    return {
        "partitions": len(parts),
        **{name: sum(part[name] for part in parts) for name in ("scored", "set_aside", "alerts")},
    }


@pipeline(name="mapped_scoring", dynamic=True, enable_cache=False)
def mapped_scoring(source: str, source_version: str, version: VersionReference, reasons: str) -> None:
    """Score every partition in a step of its own, and gather what they count."""
    partitions = list_partitions(source, source_version)
    scored = score_partition.map(
        partition=partitions,
        source=unmapped(source),
        source_version=unmapped(source_version),
        bundle=unmapped(bundle_of(version)),
        version=unmapped(version),
        reasons=unmapped(reasons),
    )
    _, _, counts = scored.unpack()
    gather_counts(counts)
