"""The API in the test's own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from serving.api.app import create_app
from serving.api.settings import ApiSettings
from tests.serving.v2_stand_in import NAME

ACCIDENT: dict[str, Any] = {"time": "2024-06-03T18:30", "place": {"latitude": 50.63, "longitude": 3.06}}


def settings_of(folder: Path, model_server: str, **changes: Any) -> ApiSettings:
    """Settings of an API whose keys and log are in `folder`."""
    settings: dict[str, Any] = {
        "model_server": model_server,
        "model_name": NAME,
        "database_url": f"sqlite:///{folder / 'predictions.db'}",
        "keys_file": folder / "keys.json",
        "model_timeout": 5,
    }
    return ApiSettings(**(settings | changes))


@contextmanager
def api(folder: Path, model_server: str, **changes: Any) -> Iterator[TestClient]:
    """A client of a running API; its own defects are answers, not exceptions of the test."""
    app = create_app(settings_of(folder, model_server, **changes))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def error_of(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The error of an answer, of which the shape, the status and the code are as they should be."""
    assert answer.status_code == status, answer.text
    content = answer.json()
    assert content.keys() == {"error"}
    error: dict[str, Any] = content["error"]
    assert error.keys() == {"code", "message", "details", "request_id"}
    assert error["code"] == code, error
    assert error["request_id"] == answer.headers["x-request-id"]
    assert all(detail.keys() == {"where", "message"} for detail in error["details"])
    return error
