"""What a stack file leaves open: `{root}`, `{store}`, `{version}`, `${NAME}`, `${NAME:-else}`.

What stands after `:-` may have `${NAME}` in it, and is filled in only where it is needed.
"""

from __future__ import annotations

import os
import re
from typing import Any

from accidents.__about__ import __version__
from stacks.env_file import ENV_FILE, read_env_file
from stacks.environment import project_root, store_folder
from stacks.errors import StackError

_VARIABLE = re.compile(r"\$\{(\w+)(?::-((?:[^{}]|\{[^{}]*\})*))?\}")


def has_variable(value: Any) -> bool:
    """Whether something of it comes from the environment."""
    return isinstance(value, str) and bool(_VARIABLE.search(value))


def in_clear(text: str) -> str:
    """Return what a text says by itself: `${NAME}` says nothing, `${NAME:-else}` what is to do otherwise."""
    return _VARIABLE.sub(lambda match: in_clear(match[2] or ""), text)


def set_here(text: str) -> list[str]:
    """Return the variables in a text that the shell or `.env` sets, and that are asked for."""
    names: list[str] = []
    for match in _VARIABLE.finditer(text):
        names += [match[1]] if _value_of(match[1]) else set_here(match[2] or "")
    return names


def fill(value: Any, where: str, here: bool = True) -> Any:
    """`value` with the placeholders in its strings replaced, at any depth.

    Parameters
    ----------
    where : how a message names it.
    here : whether `{root}`, `{store}` and `{version}` are replaced too.

    Raises
    ------
    StackError
        A variable is not set, and the file says nothing that would do otherwise.
    """
    if isinstance(value, dict):
        return {key: fill(item, where, here) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, where, here) for item in value]
    if not isinstance(value, str):
        return value
    return _filled(of_here(value) if here else value, where)


def of_here(text: str) -> str:
    """With the folders of this machine in place of `{root}` and `{store}`, and ours of `{version}`."""
    if "{root}" in text:
        text = text.replace("{root}", str(project_root()))
    text = text.replace("{version}", __version__)
    return text.replace("{store}", str(store_folder())) if "{store}" in text else text


def _filled(text: str, where: str) -> str:
    return _VARIABLE.sub(lambda match: _variable(match[1], match[2], where), text)


def _variable(name: str, otherwise: str | None, where: str) -> str:
    value = _value_of(name)
    if value:
        return value
    if otherwise is None:
        raise StackError(
            f"{where} needs the environment variable {name}, which is not set, neither in the shell nor in "
            f"{project_root() / ENV_FILE}."
        )
    return _filled(otherwise, where)


def _value_of(name: str) -> str | None:
    return os.environ.get(name) or read_env_file(project_root()).get(name)
