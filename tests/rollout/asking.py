"""What callers of an API ask while a version is on trial, and what is seen of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from tests.load import Load
from tests.predictions import connected
from tests.serving.api_client import ACCIDENT


def ask(client: httpx.Client, caller: int, number: int) -> dict[str, Any]:
    """Accidents of the caller's own."""
    own = {"accident_id": f"{caller}-{number % 200}", "speed_limit": 10 + number % 12 * 10}
    answer: dict[str, Any] = (
        client.post("/predict?reasons=false", json=ACCIDENT | own).raise_for_status().json()
    )
    return answer


def see(load: Load, *seen: tuple[str, str]) -> None:
    """Wait until these (version, role), and no others, are answered."""
    load.wait(lambda: _seen(load.answers[-80:]).keys() == set(seen))


def _seen(answers: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((answer["model"]["version"], answer["model"]["role"]) for answer in answers)


def shadow_scores(folder: Path) -> Counter[str]:
    """How many copies each version has scored."""
    with connected(f"sqlite:///{folder / 'predictions.db'}") as connection:
        return Counter(connection.scalars(text("SELECT model_version FROM shadow_scores")))
