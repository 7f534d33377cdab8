"""The project's `.env`: what a shell need not say. `make up` writes one."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values

from stacks.errors import StackError

ENV_FILE = ".env"


def read_env_file(root: Path, beginning: str = "") -> dict[str, str]:
    """Return its variables whose names begin so, but for those that are left empty.

    Raises StackError if there are any, and others than its owner may read the file.
    """
    file = root / ENV_FILE
    written = dotenv_values(file, interpolate=False) if os.access(file, os.R_OK) else {}
    variables = {name: value for name, value in written.items() if value and name.startswith(beginning)}
    if variables and file.stat().st_mode & 0o077:
        raise StackError(f"{file} holds passwords, and others may read it: chmod 600 {file}")
    return variables
