"""Python environments built from a lock file, one a lock: made once, then reused."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from stacks.errors import StackError

SHARED = "ACCIDENTS_ENVIRONMENTS"  # the environment variable that names one folder for every project's
_READY = "ready"  # written last: an environment cannot be moved into place, so it needs a mark


def environments_folder(default: Path) -> Path:
    """Where environments are kept: `$ACCIDENTS_ENVIRONMENTS`, or `default`."""
    return Path(os.environ.get(SHARED) or default).resolve()


def environment(lock: Path, folder: Path) -> Path:
    """Return the Python of an environment that holds exactly what `lock` lists.

    Built with uv at the first call (a line says so), cached by the lock's content and Python's version.
    Processes that ask at once wait for the one that builds; one that was interrupted is built anew.

    Raises
    ------
    StackError
        Uv is not installed, the lock cannot be read, or a package cannot be had or has another hash.
    """
    place = folder.resolve() / _key(lock)
    python = place / "bin" / "python"
    if _is_ready(place, python):
        return python
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_suffix(".lock")):
        if not _is_ready(place, python):
            print(f"Building the environment of {lock.name} (once, about half a minute) ...", file=sys.stderr)
            _build(lock, place, python)
    return python


def built(lock: Path, folder: Path) -> Path | None:
    """Return the Python of an environment that is there already."""
    place = folder.resolve() / _key(lock)
    python = place / "bin" / "python"
    return python if _is_ready(place, python) else None


def _key(lock: Path) -> str:
    try:
        content = lock.read_bytes()
    except OSError as error:
        raise StackError(f"The lock file {lock} cannot be read: {error.strerror}.") from error
    version = f"{sys.version_info.major}.{sys.version_info.minor}".encode()
    return f"{lock.stem}-{hashlib.sha256(content + version).hexdigest()[:16]}"


def _is_ready(place: Path, python: Path) -> bool:
    return (place / _READY).is_file() and python.exists()  # follows the link: the base Python may be gone


def _build(lock: Path, place: Path, python: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    uv = _uv()
    try:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(place)], lock)
        install = [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes"]
        _run([*install, "--compile-bytecode", "-r", str(lock)], lock)
        (place / _READY).touch()
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _uv() -> str:
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        program = shutil.which("uv")
    if program is None:
        raise StackError(
            "uv, which builds environments, is not installed. On a machine `make train` "
            "installs it. Our pipelines image has nothing to build with: deploy from a project's folder, or "
            "serve with the model server's image (docs/from_laptop_to_platform.md)."
        )
    return program


def _run(command: list[str], lock: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise StackError(
            f"The environment of {lock} could not be built. Can the package registry be reached?\n{reason}"
        )
