"""Where batch scoring puts its files: in place of an earlier output of its own, and of nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accidents.errors import SettingsError


def asked_folder(output: str) -> Path:
    """Return the folder that `--output` names, which is empty, not there, or an earlier output.

    Raises SettingsError if anything else would be lost, or we are in it.
    """
    folder = Path(output).resolve()  # a link stays one, and what it leads to is replaced
    if folder == Path.cwd():
        raise SettingsError(
            f"--output {output} is the folder that you are in, and would be replaced: name a new folder."
        )
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"--output {output} is a file: name a folder.")
    if _holds_anything(folder) and earlier_summary(folder) is None:
        raise SettingsError(f"--output {output} holds other files, which would be lost: name a new folder.")
    return folder


def earlier_summary(folder: Path) -> Mapping[str, Any] | None:
    """Return the summary of an output that a folder holds; None where it holds none, or more than that."""
    from accidents.reports.predictions import FILES

    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not {"predictions.parquet", "summary.json"} <= there <= FILES:
        return None
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except ValueError:
        return None
    return summary if isinstance(summary, dict) and {"scored", "set_aside"} <= summary.keys() else None


def _holds_anything(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
