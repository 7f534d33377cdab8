"""configs/*.yaml: HOW a pipeline runs where. Strict, because ZenML passes over what it does not know."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from zenml.config import DockerSettings, ResourceSettings
from zenml.config.schedule import Schedule

from accidents.config import parse, read_yaml
from accidents.did_you_mean import nearest
from accidents.errors import SettingsError
from accidents.strict import Strict
from engine.settings import DaskSettings, Engine

ON_DASK = ("train", "inference")  # pipelines whose work on accidents can be done by partition


class RetryConfig(Strict):
    """How often and when a failed step is tried again (ZenML's StepRetryConfig)."""

    max_retries: int = Field(default=0, ge=0, le=10)
    delay: int = Field(default=0, ge=0)
    backoff: int = Field(default=1, ge=1)


class Docker(DockerSettings, extra="forbid"):
    """ZenML's DockerSettings: the image that ZenML builds for a step, on a stack where it builds one."""


class Resources(ResourceSettings, extra="forbid"):
    """ZenML's ResourceSettings: processors and memory, where the orchestrator can give them."""


class RunSchedule(Schedule, extra="forbid"):
    """ZenML's Schedule: when the orchestrator runs it, in place of now."""


class ZenMLSettings(Strict):
    """What ZenML is told of where a pipeline or a step runs."""

    docker: Docker | None = None
    resources: Resources | None = None


class StepConfig(Strict):
    """What may be said of one step; what is not said is as for the pipeline."""

    enable_cache: bool | None = None
    retry: RetryConfig | None = None
    settings: ZenMLSettings = ZenMLSettings()

    def options(self) -> dict[str, Any]:
        """For ZenML: what is said, and no more."""
        return self.model_dump(exclude_unset=True)


class PipelineConfig(Strict):
    """What may stand in a pipeline's configuration file."""

    enable_cache: bool = True
    retry: RetryConfig = RetryConfig()
    settings: ZenMLSettings = ZenMLSettings()
    steps: Mapping[str, StepConfig] = {}
    schedule: RunSchedule | None = None
    engine: Engine = "local"
    dask: DaskSettings = DaskSettings()

    @property
    def on_dask(self) -> DaskSettings | None:
        """The cluster, where there is one; what is said of it does not count with `engine: local`."""
        return self.dask if self.engine == "dask" else None

    def with_cluster(self, cluster: Mapping[str, Any], where: str) -> PipelineConfig:
        """Return the same on another Dask cluster: `scheduler` or `kubernetes`, and the `folder` for it.

        Raises SettingsError naming what is wrong in `where`.
        """
        given = self.dask.model_dump(exclude_unset=True, exclude={"scheduler", "local", "kubernetes"})
        dask = parse(PipelineConfig, {"dask": {**given, **cluster}}, where).dask
        return self.model_copy(update={"dask": dask})

    def options(self) -> dict[str, Any]:
        """For ZenML's `with_options`."""
        options: dict[str, Any] = {"enable_cache": self.enable_cache}
        if self.retry.max_retries:
            options["retry"] = self.retry.model_dump()
        if settings := self.settings.model_dump(exclude_unset=True):
            options["settings"] = settings
        if self.steps:
            options["steps"] = {name: step.options() for name, step in self.steps.items()}
        return options | ({"schedule": self.schedule} if self.schedule else {})

    def now(self, cache: bool = True) -> PipelineConfig:
        """Return the same without a schedule, and without the cache if it is not wanted."""
        return self.with_cache(cache).model_copy(update={"schedule": None})

    def with_cache(self, wanted: bool) -> PipelineConfig:
        """Return the same, without the cache if it is not wanted."""
        return self.model_copy(update={"enable_cache": self.enable_cache and wanted})

    @property
    def names_image(self) -> bool:
        """Whether ZenML is told of an image, for any step."""
        each = [self.settings, *(step.settings for step in self.steps.values())]
        return any(settings.docker is not None for settings in each)

    def check_steps(self, there: Collection[str]) -> None:
        """Raise SettingsError if something is said of a step that the pipeline does not have."""
        for name in self.steps.keys() - set(there):
            near = nearest(name, there)
            hint = f"did you mean `{near}`?" if near else f"steps: {', '.join(sorted(there))}"
            raise SettingsError(f"configs: unknown step `steps.{name}`, {hint}.")


def load_config(pipeline: str, stack: str, folder: Path, given: Path | None = None) -> PipelineConfig:
    """Read `<pipeline>.yaml` with `<pipeline>.<stack>.yaml` over it, or the one file given.

    A given file that says nothing of the cache leaves it as `<pipeline>.yaml` has it: of what changes, such
    as the log, ZenML would else hand out what an earlier run has made.

    Raises SettingsError naming the key that is wrong and the nearest valid one.
    """
    usual_file = folder / f"{pipeline}.yaml"
    if given is not None:
        usual = {key: value for key, value in read_yaml(usual_file).items() if key == "enable_cache"}
        return _of(pipeline, {**usual, **read_yaml(given)}, str(given))
    content, where = read_yaml(usual_file), usual_file.name
    overlay = folder / f"{pipeline}.{stack}.yaml"
    if overlay.exists():
        content, where = _laid_over(content, read_yaml(overlay)), f"{where} with {overlay.name}"
    return _of(pipeline, content, f"{folder.name}/{where}")


def _of(pipeline: str, content: Mapping[str, Any], where: str) -> PipelineConfig:
    config = parse(PipelineConfig, content, where)
    if config.engine != "local" and pipeline not in ON_DASK:
        raise SettingsError(
            f"{where}: `engine: {config.engine}` is for {' and '.join(ON_DASK)}; {pipeline} has little data. "
            "Take it out."
        )
    return config


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = (
            _laid_over(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
        )
    return merged
