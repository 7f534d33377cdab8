"""A clean clone of the project, as a checkout on a runner is, with the environment of this folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

PERSON = ("-c", "user.name=a", "-c", "user.email=a@example.org")


def clean_clone(folder: Path) -> Path:
    """Clone what is committed here; what differs in the working copy is committed on top."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    changed = subprocess.run(
        ["git", "diff", "--binary", "HEAD"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    if changed:
        subprocess.run(["git", "apply", "--index"], input=changed, cwd=folder, check=True)
        git(folder, "commit", "--quiet", "--message", "as it is here")
    (folder / ".venv").symlink_to(Path(sys.prefix))
    stamps_fit(folder)
    return folder


def stamps_fit(folder: Path) -> None:
    """Make the locks older than what `make` has installed of them: a checkout makes every file new."""
    for lock in (folder / "requirements").glob("*.txt"):
        os.utime(lock, (1, 1))


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *PERSON, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def edit(folder: Path, file: str, *changes: tuple[str, str]) -> None:
    """Replace texts in a file; each must be there."""
    text = (folder / file).read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text, f"{file} has no {before!r} any more"
        text = text.replace(before, after)
    (folder / file).write_text(text, encoding="utf-8")
