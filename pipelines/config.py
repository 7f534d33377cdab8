"""configs/*.yaml: HOW a pipeline runs where. Strict, because ZenML passes over what it does not know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from accidents.config import Strict, parse, read_yaml


class RetryConfig(Strict):
    """How often and when a failed step is tried again (ZenML's StepRetryConfig)."""

    max_retries: int = Field(default=0, ge=0, le=10)
    delay: int = Field(default=0, ge=0)
    backoff: int = Field(default=1, ge=1)


class PipelineConfig(Strict):
    """What may stand in a pipeline's configuration file."""

    enable_cache: bool = True
    retry: RetryConfig = RetryConfig()

    def options(self) -> dict[str, Any]:
        """For ZenML's `with_options`."""
        retry = self.retry.model_dump() if self.retry.max_retries else None
        return {"enable_cache": self.enable_cache} | ({"retry": retry} if retry else {})


def load_config(pipeline: str, stack: str, folder: Path, given: Path | None = None) -> PipelineConfig:
    """Read `<pipeline>.yaml` with `<pipeline>.<stack>.yaml` over it, or the one file given.

    Raises SettingsError naming the key that is wrong and the nearest valid one.
    """
    if given is not None:
        return parse(PipelineConfig, read_yaml(given), str(given))
    content, where = read_yaml(folder / f"{pipeline}.yaml"), f"{pipeline}.yaml"
    overlay = folder / f"{pipeline}.{stack}.yaml"
    if overlay.exists():
        content, where = _laid_over(content, read_yaml(overlay)), f"{where} with {overlay.name}"
    return parse(PipelineConfig, content, f"{folder.name}/{where}")


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = (
            _laid_over(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
        )
    return merged
