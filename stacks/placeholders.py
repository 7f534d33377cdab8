"""What a stack file leaves open: `{root}`, `{store}`, `{version}`, `${NAME}`, `${NAME:-else}`."""

from __future__ import annotations

import os
import re
from typing import Any

from dotenv import dotenv_values

from accidents.__about__ import __version__
from stacks.environment import project_root, store_folder
from stacks.errors import StackError

ENV_FILE = ".env"  # of the project; `make up` writes it
_VARIABLE = re.compile(r"\$\{(\w+)(?::-((?:[^{}]|\{\w+\})*))?\}")  # {version} may follow `:-`


def has_variable(value: Any) -> bool:
    """Whether something of it comes from the environment."""
    return isinstance(value, str) and bool(_VARIABLE.search(value))


def set_here(text: str) -> list[str]:
    """Return the variables in a text that the shell or `.env` sets."""
    return [match[1] for match in _VARIABLE.finditer(text) if _value_of(match[1])]


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
    filled = of_here(value) if here else value
    return _VARIABLE.sub(lambda match: _variable(match[1], match[2], where), filled)


def of_here(text: str) -> str:
    """With the folders of this machine in place of `{root}` and `{store}`, and ours of `{version}`."""
    if "{root}" in text:
        text = text.replace("{root}", str(project_root()))
    text = text.replace("{version}", __version__)
    return text.replace("{store}", str(store_folder())) if "{store}" in text else text


def _variable(name: str, otherwise: str | None, where: str) -> str:
    value = _value_of(name)
    if value:
        return value
    if otherwise is None:
        raise StackError(
            f"{where} needs the environment variable {name}, which is not set, neither in the shell nor in "
            f"{project_root() / ENV_FILE}."
        )
    return otherwise


def _value_of(name: str) -> str | None:
    return os.environ.get(name) or _of_file().get(name)


def _of_file() -> dict[str, str | None]:
    """Return what the project's `.env` says. Raises StackError if others than its owner may read it."""
    file = project_root() / ENV_FILE
    if not file.is_file():
        return {}
    if file.stat().st_mode & 0o077:
        raise StackError(f"{file} holds passwords, and others may read it: chmod 600 {file}")
    return dotenv_values(file, interpolate=False)
