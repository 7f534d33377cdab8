"""Options that several commands share, and what they say laid over params.yaml."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from accidents.errors import SettingsError

if TYPE_CHECKING:
    from accidents.params import Params

ROOT = Path(__file__).resolve().parent.parent.parent


def stack_files() -> list[str]:
    """Names of the stacks there is a file for; only for completion, which must not wait for YAML."""
    return sorted(path.stem for path in (ROOT / "stacks").glob("*.yaml"))


Stack = Annotated[
    str, typer.Option(help="ZenML stack: a file in stacks/.", autocompletion=stack_files, metavar="NAME")
]
ParamsFile = Annotated[
    Path | None, typer.Option("--params", help="WHAT to compute; without: params.yaml.", metavar="FILE")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="HOW to run; without: configs/PIPELINE[.STACK].yaml.", metavar="FILE"),
]
Stage = Annotated[
    Literal["dispatch", "on_scene"] | None, typer.Option(help="What is known when the model is asked.")
]
Source = Annotated[
    str | None,
    typer.Option(help="sample, data.gouv, or a folder of published files.", metavar="SOURCE"),
]
Refresh = Annotated[bool, typer.Option("--refresh", help="Ask data.gouv.fr for newer files.")]
DataVersion = Annotated[
    str | None, typer.Option(help="Take the files of an earlier run: a DVC hash.", metavar="HASH")
]
Tune = Annotated[
    int | None, typer.Option(min=0, help="Optuna trials on the training years.", metavar="TRIALS")
]
Input = Annotated[
    str | None,
    typer.Option(help="A year, or a CSV or Parquet file of accidents.", metavar="FILE|YEAR"),
]


def read_params(path: Path | None, given: Mapping[str, Any] | None = None) -> Params:
    """Lay what was given, by dotted keys, over params.yaml; None stands for not given.

    A folder as source is absolute in what is returned.

    Raises
    ------
    SettingsError
        Naming the key that is wrong.
    """
    from accidents.data.sources import SOURCES
    from accidents.params import load_params

    stated = {key: value for key, value in (given or {}).items() if value is not None}
    params = load_params(path or ROOT / "params.yaml", stated)
    if params.data.source in SOURCES:
        return params
    data = params.data.model_copy(update={"source": absolute(params.data.source)})
    return params.model_copy(update={"data": data})


def absolute(given: str) -> str:
    """Return a path as steps understand it, which may run in another folder; what is not there as typed."""
    path = Path(os.path.expanduser(given))
    return str(path.absolute()) if os.path.exists(path) else given


def parse_years(text: str, option: str = "--years") -> list[int]:
    """Years in order, from `2018`, `2018,2024`, `2019-2023`, or any of these joined by commas.

    Raises
    ------
    SettingsError
        If the text is anything else.
    """
    years: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{4})(?:\s*-\s*(\d{4}))?\s*", part)
        if not match or (match[2] and match[2] < match[1]):
            raise SettingsError(
                f"{option} {text!r} is not a list of years; write 2018, 2018,2024 or 2019-2023"
            )
        years.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(years)


def prepare(stack: str) -> None:
    """Set the environment, before anything imports ZenML, and refuse a stack that there is no file for."""
    prepare_store()
    from stacks.definition import read_stack

    read_stack(stack)


def prepare_store() -> None:
    """Set the environment, before anything imports ZenML."""
    from stacks.environment import prepare_environment

    prepare_environment(ROOT)
