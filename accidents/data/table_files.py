"""Checked tables as files: Parquet, with the quality report beside them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path

import pandas as pd

from accidents.data.quality import Finding, QualityReport
from accidents.data.tables import Tables


def save_tables(folder: Path, tables: Tables, quality: QualityReport) -> None:
    """Write the tables as Parquet and the quality report as JSON into an existing folder."""
    for field in fields(Tables):
        getattr(tables, field.name).to_parquet(folder / f"{field.name}.parquet", index=False)
    (folder / "quality.json").write_text(quality.to_json(), encoding="utf-8")


def load_tables(folder: Path) -> tuple[Tables, QualityReport]:
    """Read what `save_tables` wrote."""
    tables = Tables(*(pd.read_parquet(folder / f"{field.name}.parquet") for field in fields(Tables)))
    findings = json.loads((folder / "quality.json").read_text(encoding="utf-8"))
    return tables, QualityReport([Finding(**finding) for finding in findings])


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that `save_tables` writes, by name; of those that are there."""
    names = (*(f"{field.name}.parquet" for field in fields(Tables)), "quality.json")
    return {name: _sha256(folder / name) for name in names if (folder / name).exists()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
