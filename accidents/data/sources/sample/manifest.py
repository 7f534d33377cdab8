"""What a synthetic year was made of, noted beside its files, so that the same year is made once.

The note names everything that the files depend on, and their digests: a year is taken again only if the
recipe is the same and nobody has touched its files.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from accidents.data.sources.year_files import YearFiles
from accidents.files import write_whole
from accidents.source_code import code_version

Recipe = dict[str, Any]


def recipe(year: int, accidents: int, seed: int, drift: str) -> Recipe:
    """Everything that the files of a year depend on."""
    return {
        "year": year, "accidents": accidents, "seed": seed, "drift": drift,
        "code": code_version("accidents.data.sources.sample"),
        "numpy": np.__version__, "pandas": pd.__version__,
    }  # fmt: skip


def is_made(files: YearFiles, wanted: Recipe) -> bool:
    """Whether these files are there and are what `wanted` makes, to the byte."""
    try:
        noted = json.loads(_note(files).read_text(encoding="utf-8"))
        return bool(noted == {"recipe": wanted, "digests": _digests(files)})
    except (OSError, ValueError):  # not there, or not ours
        return False


def note(files: YearFiles, used: Recipe) -> None:
    """Note what the files, which are there now, were made of."""
    content = json.dumps({"recipe": used, "digests": _digests(files)}, indent=1)
    write_whole(_note(files), content.encode("utf-8"))


def _note(files: YearFiles) -> Path:
    """Hidden: nobody who looks for published files takes it for one."""
    return next(iter(files.paths.values())).parent / ".made.json"


def _digests(files: YearFiles) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files.paths.values()}
