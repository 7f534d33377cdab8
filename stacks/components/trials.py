"""Versions on trial beside a champion, as every server of ours holds and tells them."""

from __future__ import annotations

from stacks.errors import StackError

CHAMPION = "champion"


def served_as(name: str, role: str) -> str:
    """Return the name on the server of a model's version in a role."""
    return name if role == CHAMPION else f"{name}-{role}"


def route(model: str, version: str, digest: str, role: str, share: int) -> dict[str, str | int]:
    """Return what the champion's V2 metadata say of a version on trial, which is served as `model`.

    serving/api/predicting/rollout.py reads it.
    """
    return {"role": role, "share": share, "model": model, "version": version, "digest": digest}


def stays_beside(role: str, version: str, new_role: str, new_version: str) -> bool:
    """Whether what is on trial stays when a version comes in a role: one a role, and a version in one."""
    return role != new_role and version != new_version


def already_served(name: str, version: str) -> StackError:
    """Return the error for a version that is to be tried beside itself."""
    return StackError(f"Version {version} of {name} is the one that is served: try another.")


def nothing_to_try_beside(name: str) -> StackError:
    """Return the error for a version that is to be tried where none is served."""
    return StackError(f"No version of {name} is served that another could be tried beside.")
