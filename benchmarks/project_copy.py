"""The project's own files in another folder, where it can be run without touching this one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from accidents.errors import AccidentsError
from accidents.files import ROOT

COPIED = ("run.py", "params.yaml", "dvc.yaml", ".dvcignore", "bentofile.yaml", "accidents", "commands",
          "engine", "steps", "pipelines", "stacks", "serving", "observability", "configs", "references",
          "requirements", "benchmarks", "dags", "examples")  # fmt: skip


def copy_project(folder: Path, params: Mapping[str, str] | None = None, compiled: bool = False) -> Path:
    """Copy into a new folder, with a git repository and a DVC cache of its own.

    Parameters
    ----------
    params : texts of params.yaml and what stands for them in the copy, to make the experiment smaller.
    compiled : with what Python and numba have compiled: a first command is no slower than others then.

    Raises
    ------
    AccidentsError
        If params.yaml has no such text any more.
    """
    being_written = ("*.pyc.*", "*.tmp.*")
    ignored = shutil.ignore_patterns(*(being_written if compiled else ("__pycache__",)))
    folder.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    subprocess.run(["git", "init", "-q", folder], check=True)
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    for usual, small in (params or {}).items():
        if usual not in text:
            raise AccidentsError(f"{usual!r} is no longer in params.yaml: change what asks for it.")
        text = text.replace(usual, small)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return folder
