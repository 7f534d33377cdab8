"""What a stack file may say, read strictly: an unknown key is an error that names the nearest valid one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from accidents.did_you_mean import nearest
from accidents.strict import Strict, explain
from stacks.errors import StackError
from stacks.placeholders import fill
from stacks.secrets import has_password
from stacks.shell_variables import DATABASE

STACKS_FOLDER = Path(__file__).parent


class ComponentDefinition(Strict):
    """One component of a stack. Its name in ZenML is `<stack>_<flavor>` unless given here.

    `config` is as written: see `StackDefinition.settings`.
    """

    flavor: str
    name: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)


class ConnectorDefinition(Strict):
    """How components log in at a cloud: a service connector of ZenML's, and which components it `connects`.

    `config` is as written, as a component's.
    """

    type: str
    auth_method: str
    connects: list[str] = Field(min_length=1)
    config: dict[str, Any] = Field(default_factory=dict)


class DaskDefinition(Strict):
    """Where `engine: dask` runs on this stack: a scheduler that runs already or pods for a run; the folder.

    All as in `dask:` of configs/train.yaml, as written: see `StackDefinition.cluster`.
    """

    scheduler: str | None = Field(default=None, min_length=1)
    kubernetes: dict[str, Any] | None = None
    folder: str | None = None

    @model_validator(mode="after")
    def _one_cluster(self) -> DaskDefinition:
        if (self.scheduler is None) == (self.kubernetes is None):
            raise ValueError("must have `scheduler` or `kubernetes`, and not both")
        return self


class StackDefinition(Strict):
    """A stack file: a name, a line on what it is for, and its components by type.

    Attributes
    ----------
    predictions : the prediction log's address, its password as `${NAME}`. Else that of configs/api.yaml.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    description: str = Field(min_length=1)
    components: dict[str, ComponentDefinition]
    connector: ConnectorDefinition | None = None
    dask: DaskDefinition | None = None
    predictions: str = ""

    def component_name(self, kind: str) -> str:
        """Return the name the component of this type has in ZenML."""
        component = self.components[kind]
        return component.name or f"{self.name}_{component.flavor}"

    def settings(self, kind: str, here: bool = True) -> dict[str, Any]:
        """Return the component's settings, placeholders filled in: what the environment gives may be secrets.

        Asked for only where they are needed: who runs on a stack that another has applied needs none.
        Raises StackError naming a variable that is not set.

        Parameters
        ----------
        here : whether `{root}` and `{store}` are filled in, too, which are others on each machine.
        """
        return dict(fill(self.components[kind].config, f"Stack {self.name}", here))

    def prediction_log(self) -> str:
        """Return the address of its prediction log, placeholders filled in; "" where the file has none.

        Raises StackError naming a variable that is not set.
        """
        where = f"Stack {self.name}, unless {DATABASE} says where predictions are logged,"
        if f"${{{DATABASE}}}" in self.predictions:
            where = f"The prediction log of stack {self.name}"
        return str(fill(self.predictions, where))

    @field_validator("predictions")
    @classmethod
    def _no_secret(cls, address: str) -> str:
        if has_password(address):
            raise ValueError("must hold no password: have it from the environment, ${NAME}")
        return address

    def cluster(self) -> dict[str, Any] | None:
        """Return what is said of Dask, placeholders filled in; None where nothing is.

        Asked for only where a run is on Dask: others need none of its variables. Raises StackError naming a
        variable that is not set.
        """
        if self.dask is None:
            return None
        return dict(fill(self.dask.model_dump(exclude_none=True), f"Stack {self.name}"))


_FILLED_LATER = ("config", "dask", "predictions")


def stack_names(folder: Path = STACKS_FOLDER) -> list[str]:
    """Return the stacks there are a file for, in order."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def read_stack(name: str, folder: Path = STACKS_FOLDER) -> StackDefinition:
    """Read `<folder>/<name>.yaml`, placeholders filled in but in what is asked for later (`_FILLED_LATER`).

    Raises
    ------
    StackError
        There is no such stack, or its file is not what a stack file may be.
    """
    path = folder / f"{name}.yaml"
    definition = _validate(_but_settings(read_raw(name, folder), str(path)), path)
    if definition.name != name:
        raise StackError(f"{path} calls its stack {definition.name!r}; the file name and `name:` must agree.")
    return definition


def read_raw(name: str, folder: Path = STACKS_FOLDER) -> Any:
    """Return what `<folder>/<name>.yaml` says, nothing filled in and nothing checked.

    Raises
    ------
        StackError: there is no such stack, or its file is not YAML.
    """
    path = folder / f"{name}.yaml"
    if name not in stack_names(folder):
        raise StackError(
            f"There is no stack {name!r}.{did_you_mean(name, stack_names(folder))} "
            f"There are: {', '.join(stack_names(folder)) or 'none'} (in {folder})."
        )
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise StackError(f"{path} is not YAML: {error}") from error


def did_you_mean(wrong: str, valid: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?`, or nothing when nothing is near."""
    near = nearest(wrong, valid)
    return f" Did you mean {near!r}?" if near else ""


def _validate(raw: Any, path: Path) -> StackDefinition:
    if not isinstance(raw, dict):
        raise StackError(f"{path} must hold `name:`, `description:` and `components:`.")
    try:
        return StackDefinition.model_validate(raw)
    except ValidationError as error:
        faults = "\n".join(f"  {explain(StackDefinition, dict(fault))}" for fault in error.errors())
        raise StackError(f"{path} is not a stack definition:\n{faults}") from error


def _but_settings(raw: Any, where: str) -> Any:
    if isinstance(raw, dict):
        return {
            key: item if key in _FILLED_LATER else _but_settings(item, where) for key, item in raw.items()
        }
    return fill(raw, where)
