"""Batch scoring on Dask: each partition of tables to one of predictions, and a manifest when all are there.

year=2021/part-0000.parquet            what `accidents.scoring.score.score` gives
year=2021/part-0000.set_aside.parquet  accidents without time or place, with the reason, if there are any
manifest.json                          the partitions, their counts, the version, what reading a raw year told
                                       and dropped; written last
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from accidents.bundle import Bundle, load_bundle
from accidents.bundle.provenance import APART
from accidents.data.partition_files import TablePart, read_part
from accidents.data.quality import QualityReport
from accidents.data.storage import exists, join, read_bytes, read_json, remove, write_frame, write_json
from accidents.data.tables import Tables, chosen
from accidents.errors import SettingsError
from accidents.scoring.batch.intake import (
    ID,
    NOTES,
    PEDESTRIAN,
    ROW,
    Intake,
    id_texts,
    missing_time_or_place,
    repeated,
)
from accidents.scoring.score import Explained, input_features, score
from accidents.source_code import code_version
from engine.cluster_check import require_seen
from engine.models import publish_folder, published_folder
from engine.table_partitions import PartitionedTables
from engine.tasks import PartitionError, each

MANIFEST, MADE_OF = "manifest.json", "made_of.json"
SHARED = "Name a folder that every worker and this machine see with --output, such as s3://bucket/folder."
OTHER = {  # what predictions are made of, as it is told
    "input": "another input", "model_name": "another model", "model_version": "another version",
    "bundle": "another bundle", "reasons": "other --reasons", "partitions": "other partitions",
    "code": "other code",
}  # fmt: skip
# Columns that hold few texts: pyarrow would number the values of all others too, and find each but once.
FEW_TEXTS = ["band", "model_name", "model_version", "reasons", "notes"]
TOLD = ("model_name", "model_version", "reasons")
COUNTED = ("rows", "scored", "set_aside", "alerts")


def score_tables(
    tables: PartitionedTables,
    bundle: Bundle,
    name: str,
    version: str,
    explained: Explained,
    output: str,
    replace: bool = False,
    reading: QualityReport | None = None,
) -> dict[str, Any]:
    """Score all partitions into `output`, a folder or one of a store; return what the manifest says.

    Predictions that the same version and code have made of the same partitions are taken as they are.

    Parameters
    ----------
    replace : whether predictions of something else may go, where `output` is a folder of ours.
    reading : what reading the raw year found, whose dropped rows are in no partition.

    Raises
    ------
    SettingsError : `output` holds predictions of something else, or of other partitions of it.
    ClusterError : a worker does not see `output`.
    PartitionError : naming the partition that cannot be scored, or whose predictions are elsewhere; without a
        manifest, what is there is not all.
    """
    made_of = {
        "input": tables.version, "bundle": bundle.digest, "reasons": explained,
        "model_name": name, "model_version": version, "partitions": _digest(tables),
        "code": code_version("engine.scoring", but=APART),
    }  # fmt: skip
    _begin(output, made_of, replace)
    if tables.dask.is_elsewhere:
        require_seen(tables.dask, join(output, MADE_OF), read_bytes(join(output, MADE_OF)), SHARED)
    where = publish_folder(bundle.folder, tables.dask.folder_address)
    made = hashlib.sha256(repr(sorted(made_of.items())).encode()).hexdigest()
    arguments = (made, where, bundle.digest, name, version, explained)
    named = [(part.name, (tables.address, part, output, *arguments)) for part in tables.parts]
    parts = each(tables.dask, _score_one, named, "Scoring partitions")
    _require_all(output, [part["name"] for part in parts])
    reading = reading or QualityReport()
    dropped = reading.count(table="accidents", action="dropped")
    counted = {count: sum(part[count] for part in parts) for count in COUNTED}
    summary = {
        **made_of,
        **counted,
        "rows": counted["rows"] + dropped,
        "dropped": dropped,
        "warnings": reading.warnings(),
        "bands": dict(sum((Counter(part["bands"]) for part in parts), Counter())),
        "seconds_scoring": sum(part["seconds_scoring"] for part in parts),
        "parts": [{"name": part["name"], **{count: part[count] for count in COUNTED}} for part in parts],
    }
    write_json(join(output, MANIFEST), summary)
    return summary


def _digest(tables: PartitionedTables) -> str:
    """Return what tells these partitions from others of the same accidents."""
    return hashlib.sha256(repr(tables.parts).encode()).hexdigest()


def _begin(output: str, made_of: dict[str, str], replace: bool) -> None:
    """Note what the partitions are made of, before any is there; take the manifest of an earlier run away."""
    if replace and _differing(output, made_of):
        remove(join(output, MANIFEST))  # before what it lists
        for folder in Path(output).glob("year=*"):
            shutil.rmtree(folder)
    else:
        require_same(output, made_of)
    write_json(join(output, MADE_OF), made_of)
    remove(join(output, MANIFEST))


def _require_all(output: str, names: Sequence[str]) -> None:
    """Raise PartitionError if predictions are not where this process looks: a worker may have come later."""
    gone = [name for name in names if not exists(join(output, f"{name}.parquet"))]
    if gone:
        raise PartitionError(
            f"{output}: predictions of {len(gone)} of {len(names)} partitions are not there, such as "
            f"{gone[0]}: workers have written them elsewhere. {SHARED}"
        )


def require_same(output: str, made_of: Mapping[str, str]) -> None:
    """Raise SettingsError if other files are there, or predictions of which one of `made_of` is another."""
    require_own(output)
    if differing := _differing(output, made_of):
        raise SettingsError(
            f"{output} holds predictions of {', '.join(differing)}: name a new folder with --output, or "
            "remove it."
        )


def noted(output: str) -> dict[str, str]:
    """Return what the predictions at an address are made of; nothing where none are."""
    note = join(output, MADE_OF)
    return dict(read_json(note)) if exists(note) else {}


def _differing(output: str, made_of: Mapping[str, str]) -> list[str]:
    """Name what the predictions at an address are made of otherwise."""
    there = noted(output)
    return [
        f"{word} ({there.get(key)}, now {made_of[key]})" if key in TOLD else word
        for key, word in OTHER.items()
        if there and key in made_of and there.get(key) != made_of[key]
    ]


def require_own(output: str) -> None:
    """Raise SettingsError if other files are there than predictions by partition."""
    if exists(join(output, MADE_OF)):
        return
    if exists(join(output, MANIFEST)) or (Path(output).is_dir() and any(Path(output).iterdir())):
        raise SettingsError(f"{output} holds other files: name a new folder with --output.")


def _score_one(
    tables: str,
    part: TablePart,
    output: str,
    made: str,
    where: str,
    digest: str,
    name: str,
    version: str,
    explained: Explained,
) -> dict[str, Any]:
    """Score one partition, on a worker; its note is written last."""
    stem = join(output, part.name)
    note = f"{stem}.json"
    if exists(note) and exists(f"{stem}.parquet"):
        before: dict[str, Any] = read_json(note)
        if before.get("made_of") == made:  # and not by a run that was ended, and whose worker went on
            return before
    bundle = _bundle(where, digest)
    predictions, aside, seconds = score_part(read_part(tables, part), bundle, name, version, explained)
    write_frame(f"{stem}.parquet", predictions, use_dictionary=FEW_TEXTS)
    if len(aside):
        write_frame(f"{stem}.set_aside.parquet", aside)
    counts = {
        "name": part.name, "made_of": made, "rows": len(predictions) + len(aside), "scored": len(predictions),
        "set_aside": len(aside), "alerts": int(predictions["alert"].sum()),
        "bands": predictions["band"].value_counts().to_dict(), "seconds_scoring": seconds,
    }  # fmt: skip
    write_json(note, counts)
    return counts


def score_part(
    tables: Tables, bundle: Bundle, name: str, version: str, explained: Explained
) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Return the predictions of a partition, what was set aside with the reason, and the seconds it took."""
    intake, aside = _taken(tables)
    features = input_features(intake, bundle.stage)
    started = time.monotonic()
    predictions = score(bundle, features, intake.rows, name, version, explained)
    return predictions, aside, time.monotonic() - started


@lru_cache(maxsize=2)
def _bundle(where: str, digest: str) -> Bundle:
    return load_bundle(Path(published_folder(where)), digest)


def _taken(tables: Tables) -> tuple[Intake, pd.DataFrame]:
    """Part the accidents that can be scored from those that cannot; rows are counted within the partition."""
    tables.validate()
    ids = id_texts(tables.accidents)
    reasons = missing_time_or_place(tables.accidents)
    keep = reasons == ""
    row = np.arange(1, len(ids) + 1)
    rows = pd.DataFrame({ROW: row, ID: ids, NOTES: repeated("", len(ids)), PEDESTRIAN: np.float32(np.nan)})
    aside = pd.DataFrame({ROW: row, ID: ids, "reason": pd.array(reasons, dtype="str")})[~keep]
    kept = tables if keep.all() else chosen(tables, keep)
    return Intake(kept, rows[keep].reset_index(drop=True), aside.reset_index(drop=True)), aside
