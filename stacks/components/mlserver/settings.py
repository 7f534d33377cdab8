"""The settings of a model server on this machine; without ZenML, for the supervisor to read."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stacks.placeholders import of_here

_PLACES = ("folder", "lock", "code", "environments", "image")


class ServerSettings(BaseModel):
    """Where it keeps its things, where it listens, how long it may take, how often it is brought back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str = Field(description="Where the server keeps models, code, state and log.")
    lock: str = Field(
        default="", description="Lock file (with hashes) of the environment the server runs in."
    )
    code: str = Field(
        default="", description="Folder with accidents/ and serving/, which the server gets a copy of."
    )
    image: str = Field(
        default="", description="Image that it runs in, as a container, in place of lock and code."
    )
    memory: str = Field(default="1g", description="What a container may take of it; it has no swap.")
    environments: str = Field(default="", description="Where environments are built; by default in folder.")
    http_port: int = Field(default=8085, ge=0, le=65535, description="V2 over REST; 0 is any free port.")
    grpc_port: int = Field(default=8086, ge=0, le=65535, description="V2 over gRPC; 0 is any free port.")
    metrics_port: int = Field(default=8087, ge=0, le=65535, description="Prometheus; 0 is any free port.")
    start_timeout: float = Field(default=60, gt=0, description="Seconds the server may take to start.")
    load_timeout: float = Field(default=120, gt=0, description="Seconds a model may take to load.")
    stop_timeout: float = Field(default=15, gt=0, description="Seconds the server has to finish requests.")
    restarts: int = Field(
        default=5, ge=0, description="Times within restart_window that it is brought back; 0: never."
    )
    restart_window: float = Field(default=600, gt=0, description="Seconds over which restarts are counted.")
    hang_timeout: float = Field(
        default=20, gt=0, description="Seconds without an answer after which a living server is ended."
    )
    supervisor_port: int = Field(
        default=8088, ge=0, le=65535, description="Prometheus, of the supervisor; 0 is any free port."
    )

    @model_validator(mode="after")
    def _runs_on_something(self) -> Self:
        if not self.image and not (self.lock and self.code):
            raise ValueError("say what the server runs on: `image`, or `lock` and `code`")
        return self

    def here(self) -> Self:
        """Return the same with what `{root}`, `{store}` and `{version}` are on this machine."""
        return self.model_copy(update={name: of_here(getattr(self, name)) for name in _PLACES})
