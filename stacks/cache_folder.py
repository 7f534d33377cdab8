"""Where caches go if the home folder cannot be written: into the project's. No library but Python's own.

`python stacks/cache_folder.py` tells the Makefile that folder, and nothing where the home folder will do.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

CACHE = ".cache"  # in the project's folder


def home_variables(root: Path) -> dict[str, str]:
    """Variables that keep libraries out of a home folder that is not there, or may not be written.

    A service account has none, a container may run as a user that the system does not know. What is only read
    there (pip.conf, .netrc) is found still.
    """
    home, cache, variables = _home(), root / CACHE, dict[str, str]()
    if home is None:
        variables |= {"HOME": str(cache / "home"), "USER": f"user{os.getuid()}"}
    if home is None or not _is_writable(home / ".cache"):
        variables["MPLCONFIGDIR"] = os.environ.get("MPLCONFIGDIR") or str(cache / "matplotlib")
        if not _is_writable(Path(os.environ.get("XDG_CACHE_HOME") or os.devnull)):
            variables["XDG_CACHE_HOME"] = str(cache)
    return variables


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and no such user
        return None


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    print(home_variables(Path(__file__).resolve().parent.parent).get("XDG_CACHE_HOME", ""))
