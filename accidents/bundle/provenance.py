"""What a model version was made from. The same inputs are the same version: docs/decisions/0014."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accidents.files import ROOT
from accidents.strict import Strict

# The hash of the raw files stands for how they were had; reports and words only tell what was made; where its
# workers are, and of which release their image is, changes nothing in a model.
APART = (
    "accidents.data.sources", "accidents.reports", "accidents.vocabulary.words",
    "accidents.__about__", "engine.kubernetes_cluster", "engine.kubernetes_manifest",
)  # fmt: skip


class MadeFrom(Strict):
    """All that a version depends on.

    Attributes
    ----------
    data_version : DVC hash of the raw files, or of the manifest of partitions.
    years : those taken of them: an archive or a manifest may hold more.
    code_version : hash of the code that training runs through; see accidents.source_code.
    params : `Params.of_training`.
    """

    data_version: str
    years: tuple[int, ...]
    code_version: str
    params: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """Two versions with one identity are the same version."""
        return identity_of(self.model_dump(mode="json"))

    def facts(self) -> dict[str, Any]:
        """For bundle.json."""
        return {"identity": self.identity, **self.model_dump(mode="json")}


def identity_of(inputs: Mapping[str, Any]) -> str:
    """Return the identity of what is made from these; they go through JSON."""
    content = json.dumps(dict(inputs), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def git_commit(root: Path = ROOT) -> str:
    """Return the commit checked out, with `-dirty` behind it if tracked files differ.

    `unknown` outside git.
    """
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return "unknown"  # of a repository around us, which says nothing of our files
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
        return _git(root, "rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def has_commit(commit: str, root: Path = ROOT) -> bool:
    """Whether the commit checked out is this one or goes on from it."""
    try:
        _git(root, "merge-base", "--is-ancestor", commit, "HEAD")
        return True
    except (OSError, subprocess.CalledProcessError):
        return False


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", os.fspath(root), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()
