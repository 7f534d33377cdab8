"""params.yaml: WHAT an experiment is. Strict: an unknown key stops before anything runs."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from accidents.bands import DEFAULT_BANDS, check_bands
from accidents.errors import SettingsError
from accidents.gates import GateSettings
from accidents.model import ModelSettings
from accidents.monitoring.policy import MonitorSettings
from accidents.promotion import PromotionSettings
from accidents.split import SplitSettings

Stage = Literal["dispatch", "on_scene"]
S = TypeVar("S", bound=BaseModel)


class Strict(BaseModel):
    """Frozen, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SampleSettings(Strict):
    """The synthetic years made when `source` is `sample`."""

    accidents_per_year: int = Field(default=20_000, ge=100, le=200_000)
    seed: int = Field(default=7, ge=0)
    drift: str = "none"


class DataSettings(Strict):
    """Where the accidents come from and which years take part."""

    source: str = "sample"
    years: tuple[int, ...] = (2021, 2022)
    refresh: bool = False
    version: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{32}\.dir$"
    )  # a DVC hash: train on those files again
    sample: SampleSettings = SampleSettings()

    @field_validator("years")
    @classmethod
    def _sorted_and_unique(cls, years: tuple[int, ...]) -> tuple[int, ...]:
        if not years:
            raise ValueError("name at least one year")
        return tuple(sorted(set(years)))


class EvaluationSettings(Strict):
    """How the later year is judged."""

    budget: float = Field(default=0.2, gt=0, lt=1)
    n_bootstrap: int = Field(default=500, ge=100)
    bands: Mapping[str, float] = DEFAULT_BANDS

    @field_validator("bands")
    @classmethod
    def _bands_cover(cls, bands: Mapping[str, float]) -> Mapping[str, float]:
        return check_bands(bands)


class TuningSettings(Strict):
    """Optuna search on the training years; 0 trials: none."""

    trials: int = Field(default=0, ge=0)


class KeepSettings(Strict):
    """What old things are kept; null: all of them, for ever."""

    monitor_runs: int | None = Field(default=30, ge=1)
    inference_runs: int | None = Field(default=10, ge=1)
    reports: int | None = Field(default=20, ge=1)
    log_megabytes: int | None = Field(default=20, ge=1)
    prediction_days: int | None = Field(default=400, ge=1)
    labelled_days: int | None = Field(default=1500, ge=1)

    @model_validator(mode="after")
    def _labelled_are_kept_longer(self) -> KeepSettings:
        if self.labelled_days is not None and self.labelled_days < (self.prediction_days or math.inf):
            raise ValueError(
                "labelled_days must be at least prediction_days: outcomes are what is learnt from"
            )
        return self


class Params(Strict):
    """All of params.yaml."""

    stage: Stage = "dispatch"
    seed: int = Field(default=7, ge=0)
    data: DataSettings = DataSettings()
    split: SplitSettings = SplitSettings()
    model: ModelSettings = ModelSettings()
    refit: bool = True
    tuning: TuningSettings = TuningSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    gates: tuple[GateSettings, ...] = ()
    promotion: PromotionSettings = PromotionSettings()
    monitor: MonitorSettings = MonitorSettings()
    keep: KeepSettings = KeepSettings()

    @model_validator(mode="after")
    def _test_year_is_there(self) -> Params:
        year, years = self.split.test_year, self.data.years
        if year is not None and year not in years:
            nearest = min(years, key=lambda one: abs(one - year))
            raise ValueError(
                f"split.test_year {year} is not among data.years {', '.join(map(str, years))}; "
                f"nearest: {nearest}"
            )
        return self


def load_params(path: Path, overrides: Mapping[str, Any] | None = None) -> Params:
    """Read params.yaml, lay command-line values (dotted keys) over it, and check the whole.

    Raises
    ------
    SettingsError
        Naming the key and, for an unknown one, the nearest valid key.
    """
    content = read_yaml(path)
    for dotted, value in (overrides or {}).items():
        inner = content
        *parents, last = dotted.split(".")
        for key in parents:
            if inner.get(key) is None:  # absent, or `data:` with nothing behind it
                inner[key] = {}
            inner = inner[key]
            if not isinstance(inner, dict):
                raise SettingsError(f"{path.name}: `{key}` must hold keys and values, not {inner!r}.")
        inner[last] = value
    return parse(Params, content, path.name)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file; SettingsError if there is none or it cannot be read."""
    try:
        # YAML 1.2, as DVC reads it: in PyYAML's 1.1 the key `on` is the boolean true.
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist.") from None
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise SettingsError(f"{path} cannot be read as YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold keys and values, not a {type(content).__name__}.")
    return content


def parse(model: type[S], content: Mapping[str, Any], where: str) -> S:
    """Check settings against a pydantic model, telling every mistake in one plain message."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_explain(model, dict(one)) for one in error.errors()]
        raise SettingsError(f"{where}: " + "; ".join(lines) + ".") from None


def _explain(model: type[BaseModel], error: dict[str, Any]) -> str:
    """One line for one mistake: where it is, what is wrong, and the nearest valid key if it was a typo."""
    location = error["loc"]
    name = ".".join(str(part) for part in location)
    if not location:
        return str(error["msg"].removeprefix("Value error, "))
    if error["type"] != "extra_forbidden":
        # Our own validators say what they got; a whole mapping would only repeat the file.
        got = "" if error["type"] == "value_error" else f" (got {error['input']!r})"
        return f"`{name}` {_decapitalise(error['msg'].removeprefix('Value error, '))}{got}"
    valid = sorted(_fields_at(model, location[:-1]))
    near = difflib.get_close_matches(str(location[-1]), valid, n=1, cutoff=0.4)
    hint = f"did you mean `{near[0]}`?" if near else f"valid keys here: {', '.join(valid)}"
    return f"unknown key `{name}`, {hint}"


def _decapitalise(text: str) -> str:
    return text[:1].lower() + text[1:]


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> set[str]:
    """Names of the fields of the model found by walking `location` down from `model`."""
    current: type[BaseModel] = model
    for part in location:
        field = current.model_fields.get(str(part))
        if field is None:
            continue  # an index into a list, or a member of a union
        inner = _models_in(field.annotation)
        if inner:
            current = inner[0]
    return set(current.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _models_in(part)]
