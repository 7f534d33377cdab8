"""The reports of a git revision: trained in a clone of it, once, and kept by its commit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from accidents.errors import SettingsError, SourceError
from accidents.files import ROOT, whole_folder

KEPT = Path(".cache", "reports")  # .gitignore has it; CI keeps it from one push to the next
FILES = ("summary.json", "metrics.json", "plots")
LAST_LINES = 15


def reports_of(revision: str, root: Path = ROOT) -> Path:
    """Return the folder of a revision's reports; `make train` makes them where they are not kept.

    Raises
    ------
    SettingsError
        Git knows no such revision.
    SourceError
        The revision does not train, or leaves no report.
    """
    commit = commit_of(revision, root)
    kept = root / KEPT / commit
    if not kept.is_dir():
        with tempfile.TemporaryDirectory(prefix="revision-") as place, whole_folder(kept) as made:
            _train(revision, commit, root, Path(place, "clone"), made)
    return kept


def commit_of(revision: str, root: Path = ROOT) -> str:
    """Return the whole hash of a revision. Raises SettingsError if git knows none of that name."""
    done = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SettingsError(
            f"Git knows no revision {revision!r} here, and there is no such folder of reports. A branch of "
            "elsewhere is fetched first (git fetch origin main), a shallow clone completed (--unshallow)."
        )
    return done.stdout.strip()


def _train(revision: str, commit: str, root: Path, clone: Path, made: Path) -> None:
    """Train in a clone of a revision; in this environment, where it has the same lock."""
    git = ["git", "-C", str(clone)]
    for words in (["git", "clone", "--quiet", "--shared", "--no-checkout", str(root), str(clone)],
                  [*git, "checkout", "--quiet", "--detach", commit]):  # fmt: skip
        subprocess.run(words, check=True)
    lock = Path("requirements", "train.txt")
    here = _same(root / lock, clone / lock)
    command = [sys.executable, "run.py", "--pipeline", "train"] if here else ["make", "train"]
    print(f"{revision} ({commit[:7]}): training ...", file=sys.stderr, flush=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZENML_")}
    done = subprocess.run(
        command, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        output = "\n".join(done.stdout.splitlines()[-LAST_LINES:])
        raise SourceError(f"{revision} ({commit[:7]}) does not train; it ended with:\n{output}")
    for name in FILES:
        report = clone / "reports" / name
        if not report.exists():
            raise SourceError(
                f"{revision} ({commit[:7]}) trained and left no reports/{name}: is it older than that file?"
            )
        (shutil.copytree if report.is_dir() else shutil.copy)(report, made / name)


def _same(source: Path, target: Path) -> bool:
    return source.is_file() and target.is_file() and source.read_bytes() == target.read_bytes()
