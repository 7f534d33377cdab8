"""Which of the servers that ZenML's store knows are of a folder: on a shared server it knows everybody's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zenml.services import BaseService


def services_here(services: Sequence[BaseService], folder: str) -> list[BaseService]:
    """Those of one of ZenML's own deployers, which keeps each in a folder in its `local_path`."""
    here = Path(folder).resolve()
    return [
        service
        for service in services
        if (place := _place(service)) is None or place.resolve().parent == here
    ]


def _place(service: BaseService) -> Path | None:
    """Return where a server keeps its files; None if it has not come so far."""
    place = getattr(service.status, "runtime_path", None)
    return Path(place) if place else None
