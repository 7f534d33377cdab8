"""configs/loop.yaml, and ACCIDENTS_PUSHGATEWAY and ACCIDENTS_API over it."""

from __future__ import annotations

import os

from pydantic import AnyHttpUrl, Field

from accidents.config import parse, read_yaml
from accidents.strict import Strict
from commands.project import ROOT

# Over the keys of the file, in the environment.
PUSHGATEWAY, API = "ACCIDENTS_PUSHGATEWAY", "ACCIDENTS_API"


class LoopSettings(Strict):
    """Each key is told in configs/loop.yaml."""

    pushgateway: AnyHttpUrl | None = None
    api: AnyHttpUrl | None = None
    push_timeout: float = Field(default=5, gt=0, le=60)
    lease_seconds: float = Field(default=60, ge=3, le=3600)

    @property
    def api_address(self) -> str | None:
        """Where the API is, without a slash at its end; None where nobody has said."""
        return str(self.api).rstrip("/") if self.api else None


def loop_settings() -> LoopSettings:
    """Read configs/loop.yaml. Raises SettingsError naming the key that is wrong."""
    content = read_yaml(ROOT / "configs" / "loop.yaml")
    over = {"pushgateway": os.environ.get(PUSHGATEWAY), "api": os.environ.get(API)}
    content |= {key: value for key, value in over.items() if value}
    return parse(LoopSettings, content, f"configs/loop.yaml, {PUSHGATEWAY} and {API}")
