"""Settings of the API: configs/api.yaml, and over it the environment (ACCIDENTS_PORT=8001, ...)."""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AnyHttpUrl, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from accidents.errors import SettingsError
from accidents.strict import explain, unknown_key

PREFIX = "ACCIDENTS_"
# Variables that others of us read.
OTHERS = {
    f"{PREFIX}{name}"
    for name in (
        "AIRFLOW",
        "ALERTMANAGER",
        "API",
        "API_KEY",
        "COMMIT",
        "DVC_REMOTE",
        "ENVIRONMENTS",
        "ORCHESTRATOR",
        "PUSHGATEWAY",
        "RETRY_SECONDS",
        "STACK",
        "STEP_ENVIRONMENT",
    )
}
FILE = Path("configs/api.yaml")  # relative to the project's folder, where the API is started
Access = Literal["open", "key", "closed"]
Origin = Annotated[
    str, Field(pattern=r"^https?://[a-z0-9.-]+(:[0-9]+)?$|^https?://\[[0-9a-f:]+\](:[0-9]+)?$")
]
Rate = Annotated[int, Field(ge=1, le=10_000_000)]


class ApiSettings(BaseSettings):
    """What configs/api.yaml may say; each key is told there. Times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, yaml_file=FILE)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    processes: int = Field(default=1, ge=1, le=64)
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    allowed_origins: Annotated[tuple[Origin, ...], NoDecode] = ()

    model_server: Annotated[tuple[AnyHttpUrl, ...], NoDecode, Field(min_length=1)] = (
        AnyHttpUrl("http://127.0.0.1:8085"),
    )
    model_name: str = Field(default="accident-severity-dispatch", pattern=r"^[\w.-]+$")
    model_timeout: float = Field(default=0.8, gt=0, le=60)
    rows_per_call: int = Field(default=64, ge=1, le=10_000)
    waiting: int = Field(default=2_000, ge=50)  # what a batch has waiting at a time, at least
    routes_every: float = Field(default=1, ge=0.05, le=60)

    database_url: str = "sqlite:///.serving/predictions.db"
    upgrade_log: bool = True
    keys_in: Literal["file", "database"] = "file"
    keys_file: Path = Path(".serving/keys.json")

    hook_keys_file: Path = Field(default=Path(".serving/hook-keys.json"), validate_default=True)
    hook_command: Annotated[tuple[str, ...], NoDecode] = ()
    hook_commands: Annotated[dict[str, tuple[str, ...]], NoDecode] = {}
    hook_pause: float = Field(default=300, ge=0, le=86_400)
    hook_log: Path = Path(".serving/loop.log")

    limits_in: Literal["process", "database"] = "process"
    accidents_per_minute: Rate = 120_000
    labels_per_minute: int = Field(default=12_000, ge=1_000, le=10_000_000)  # a whole batch, at least
    wrong_keys_per_minute: Rate = 20
    body_limit: int = Field(default=1_000_000, ge=1_000)
    header_limit: int = Field(default=32_000, ge=1_000)
    request_timeout: float = Field(default=10, gt=0, le=600)
    keep_alive: int = Field(default=30, ge=1, le=3600)

    reasons: bool = True
    reasons_count: int = Field(default=5, ge=1, le=50)
    docs: Access = "open"
    metrics: Access = "key"

    @field_validator("trusted_proxies", "allowed_origins", "model_server", mode="before")
    @classmethod
    def _commas(cls, value: object) -> object:
        """Take `a,b` from the environment as two."""
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("hook_command", "hook_commands", mode="before")
    @classmethod
    def _words(cls, value: object, info: ValidationInfo) -> object:
        """Take JSON from the environment."""
        example = '["/usr/bin/true"]'
        if info.field_name == "hook_commands":
            example = f'by model, {{"accident-severity-on-scene": {example}}}'
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError(f"must be a list of words, such as {example}") from None

    @field_validator("hook_keys_file")
    @classmethod
    def _own_keys(cls, value: Path, info: ValidationInfo) -> Path:
        """Refuse one file for both: a key for predictions must not start loops, nor the other way."""
        if value.absolute() == info.data.get("keys_file", Path()).absolute():
            raise ValueError("must be another file than `keys_file`")
        return value

    @model_validator(mode="after")
    def _can_count(self) -> ApiSettings:
        """Refuse counting in SQLite: each count would be a flush to the disk, before the answer."""
        if self.limits_in == "database" and self.database_url.startswith("sqlite"):
            raise ValueError(
                "`limits_in` is database, which takes PostgreSQL, and `database_url` is of SQLite"
            )
        return self

    @property
    def loopback(self) -> bool:
        """Whether `host` can be reached from this machine only."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments over the environment over the file."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)


def load_settings() -> ApiSettings:
    """Read configs/api.yaml under the current folder and the environment.

    Raises SettingsError naming the key, what is right, and the nearest key where it looks like a typo.
    """
    try:
        _refuse_unknown_variables()
        return ApiSettings()
    except yaml.YAMLError as error:
        raise SettingsError(f"{FILE} cannot be read as YAML: {error}") from None
    except ValidationError as error:
        lines = [explain(ApiSettings, dict(mistake)) for mistake in error.errors()]
        raise SettingsError(f"{FILE} and {PREFIX}*: " + "; ".join(lines) + ".") from None


def _refuse_unknown_variables() -> None:
    """Refuse an ACCIDENTS_* variable that is no setting: it would be ignored in silence."""
    for name in os.environ.keys() - OTHERS:
        key = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and key not in ApiSettings.model_fields:
            raise SettingsError(f"Environment: {unknown_key(name, key, ApiSettings.model_fields)}.")
