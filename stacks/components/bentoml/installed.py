"""Whether BentoML and what a Bento serves with are installed, as the lock has them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from stacks.errors import StackError

REMEDY = "Install what requirements/bento.txt locks: make bento."


def require_installed(lock: Path) -> None:
    """Raise StackError naming what is missing, or of another version than the lock has.

    A Bento is served by this environment: what its lock says must be true of it.
    """
    differing = list(_differing(lock))
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise StackError(
            f"BentoML cannot serve from this environment: {'; '.join(differing[:3])}{more}. {REMEDY}"
        )


def _differing(lock: Path) -> Iterator[str]:
    for locked in _locked(lock):
        (wanted,) = (specifier.version for specifier in locked.specifier)
        try:
            there = version(locked.name)
        except PackageNotFoundError:
            yield f"{locked.name} {wanted} is not installed"
            continue
        if there != wanted:
            yield f"{locked.name} is {there} and not {wanted}"


def _locked(lock: Path) -> Iterator[Requirement]:
    """Yield the packages of a lock that this machine needs; hashes and comments are left out."""
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StackError(f"The lock file {lock} cannot be read: {error.strerror}.") from error
    for line in lines:
        if line[:1].isalnum():
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement
