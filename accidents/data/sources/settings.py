"""The `data` section of params.yaml."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from accidents.strict import Strict


class SampleSettings(Strict):
    """The synthetic years made when `source` is `sample`."""

    accidents_per_year: int = Field(default=20_000, ge=100, le=200_000)
    seed: int = Field(default=7, ge=0)
    drift: str = "none"


class DataSettings(Strict):
    """Where the accidents come from and which years take part.

    With a `version`, no years at all stand for those it holds.
    """

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
        return tuple(sorted(set(years)))

    @model_validator(mode="after")
    def _of_some_year(self) -> DataSettings:
        if not self.years and self.version is None:
            raise ValueError("name at least one year")
        return self
