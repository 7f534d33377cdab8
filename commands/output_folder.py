"""Where batch scoring puts its files: in place of an earlier output of its own, and of nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any

from accidents.data.sources.settings import DataSettings
from accidents.data.storage import is_remote
from accidents.errors import SettingsError
from commands.project import ROOT

INFERENCE = ROOT / "reports" / "inference"


def folder_for(output: str | None, given: str, data: DataSettings) -> Path:
    """Return where the files of an input go: where `--output` says, else into a folder of its name.

    Raises SettingsError if `--output` names what must not be replaced.
    """
    return asked_folder(output) if output else _default(given, lambda folder: _is_of(folder, given, data))


def partitions_address(output: str | None, given: str, input_version: str) -> str:
    """Return where the predictions of partitions go, a folder or an address of a store.

    Without `--output` it is where those of the same accidents are, which are replaced if another version has
    made them. Raises SettingsError if other files are in that folder.
    """
    from engine.scoring import noted, require_own

    if output and is_remote(output):
        return output
    folder = (
        Path(output).resolve()
        if output
        else _default(given, lambda folder: noted(str(folder)).get("input") == input_version)
    )
    _require_no_file(folder)
    require_own(str(folder))
    return str(folder)


def asked_folder(output: str) -> Path:
    """Return the folder that `--output` names, which is empty, not there, or an earlier output.

    Raises SettingsError if anything else would be lost, or we are in it.
    """
    folder = Path(output).resolve()  # a link stays one, and what it leads to is replaced
    if folder == Path.cwd():
        raise SettingsError(
            f"--output {output} is the folder that you are in, and would be replaced: name a new folder."
        )
    _require_no_file(folder)
    if not _is_free(folder) and earlier_summary(folder) is None:
        raise SettingsError(f"--output {output} holds other files, which would be lost: name a new folder.")
    return folder


def earlier_summary(folder: Path) -> Mapping[str, Any] | None:
    """Return the summary of an output that a folder holds; None where it holds none, or more than that."""
    from accidents.reports.prediction_files import FILES

    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not {"predictions.parquet", "summary.json"} <= there <= FILES:
        return None
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except ValueError:
        return None
    return summary if isinstance(summary, dict) and {"scored", "set_aside"} <= summary.keys() else None


def is_output(folder: Path) -> bool:
    """Whether a folder holds an output of either engine, and no other files."""
    return earlier_summary(folder) is not None or _holds_partitions_alone(folder)


def _holds_partitions_alone(folder: Path) -> bool:
    from engine.scoring import MADE_OF, MANIFEST

    there = {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}
    notes = {Path(MADE_OF), Path(MANIFEST)}
    return Path(MADE_OF) in there and all(
        path.parts[0].startswith("year=") and path.suffix in (".parquet", ".json") for path in there - notes
    )


def _default(given: str, is_earlier: Callable[[Path], bool]) -> Path:
    """Return reports/inference/INPUT, or the first INPUT-2, INPUT-3, ... that holds nothing else."""
    from accidents.scoring.batch import name_of

    names = chain([name_of(given)], (f"{name_of(given)}-{number}" for number in count(2)))
    folders = (INFERENCE / name for name in names)
    return next(folder for folder in folders if _is_free(folder) or is_earlier(folder))


def _is_of(folder: Path, given: str, data: DataSettings) -> bool:
    """Whether a folder holds an output of the same input; a year is one of its source."""
    from accidents.scoring.batch.inputs import is_year

    summary = earlier_summary(folder) or {}
    return summary.get("input") == given and (not is_year(given) or summary.get("source") == data.source)


def _require_no_file(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"--output {folder} is a file: name a folder.")


def _is_free(folder: Path) -> bool:
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
