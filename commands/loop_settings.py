"""configs/loop.yaml, and ACCIDENTS_PUSHGATEWAY over it."""

from __future__ import annotations

import os

from pydantic import AnyHttpUrl, Field

from accidents.config import Strict, parse, read_yaml
from commands.project import ROOT

PUSHGATEWAY = "ACCIDENTS_PUSHGATEWAY"


class LoopSettings(Strict):
    """Each key is told in configs/loop.yaml."""

    pushgateway: AnyHttpUrl | None = None
    push_timeout: float = Field(default=5, gt=0, le=60)
    lease_seconds: float = Field(default=60, ge=3, le=3600)


def loop_settings() -> LoopSettings:
    """Read configs/loop.yaml. Raises SettingsError naming the key that is wrong."""
    content = read_yaml(ROOT / "configs" / "loop.yaml")
    if os.environ.get(PUSHGATEWAY):
        content["pushgateway"] = os.environ[PUSHGATEWAY]
    return parse(LoopSettings, content, f"configs/loop.yaml and {PUSHGATEWAY}")
