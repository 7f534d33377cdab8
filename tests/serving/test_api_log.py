"""What the API does while the prediction log cannot be written."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.serving.api_client import ACCIDENT, api, error_of
from tests.serving.v2_stand_in import stand_in


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with stand_in() as model, api(tmp_path, model.address) as client:
        yield client


@pytest.mark.parametrize("body", ["one", "batch", "labels"])
def test_a_log_that_cannot_be_written_is_503_until_it_can(
    client: TestClient, tmp_path: Path, body: str
) -> None:
    path, content = {
        "one": ("/predict", ACCIDENT),
        "batch": ("/predict/batch", {"accidents": [ACCIDENT] * 3}),
        "labels": ("/labels", {"labels": [{"accident_id": "x", "severe": True}]}),
    }[body]
    assert client.post(path, json=content).status_code == 200
    other = sqlite3.connect(tmp_path / "predictions.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # another process that does not let go of it
    begun = time.perf_counter()
    answer = client.post(path, json=content)
    assert time.perf_counter() - begun < 7
    error = error_of(answer, 503, "log_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert str(tmp_path) not in error["message"]
    other.execute("ROLLBACK")
    other.close()
    for _ in range(50):
        answer = client.post(path, json=content)
        if answer.status_code == 200:
            return
        time.sleep(0.1)
    raise AssertionError(answer.text)


def test_a_log_that_vanished_is_told_by_ready(client: TestClient, tmp_path: Path) -> None:
    assert client.get("/health/ready").json()["prediction_log"] == "ready"
    for file in tmp_path.glob("predictions.db*"):
        file.unlink()
    time.sleep(1.1)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["prediction_log"] == "unavailable"


def lock(file: Path) -> Callable[[], None]:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other.close


def cut_off(file: Path) -> Callable[[], None]:
    wal = Path(f"{file}-wal")
    whole = wal.read_bytes()
    os.truncate(wal, 0)

    def put_back() -> None:
        wal.write_bytes(whole)

    return put_back


def forbid(file: Path) -> Callable[[], None]:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute(
        "CREATE TRIGGER forbidden BEFORE INSERT ON predictions BEGIN SELECT RAISE(ABORT, 'no'); END"
    )

    def allow() -> None:
        other.execute("DROP TRIGGER forbidden")
        other.close()

    return allow


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lock, "Another program holds it locked: end that program, or wait for it."),
        (cut_off, "end this program with kill -9"),
        (forbid, "Restore it from a backup"),
    ],
)
def test_ready_tries_what_a_prediction_needs(
    client: TestClient,
    tmp_path: Path,
    fault: Callable[[Path], Callable[[], None]],
    says: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert client.get("/health/ready").json()["reasons"] == []
    mend = fault(tmp_path / "predictions.db")
    try:
        time.sleep(1.1)  # as long as an answer is kept
        begun = time.perf_counter()
        answer = client.get("/health/ready")
        assert time.perf_counter() - begun < 4
        assert answer.status_code == 503
        assert answer.json()["prediction_log"] == "unavailable"
        (reason,) = answer.json()["reasons"]
        assert says in reason
        assert str(tmp_path) not in reason
        assert str(tmp_path) in caplog.text
        error_of(client.post("/predict", json=ACCIDENT), 503, "log_unavailable")
    finally:
        mend()
    for _ in range(50):
        if client.get("/health/ready").status_code == 200:
            break
        time.sleep(0.1)
    assert client.post("/predict", json=ACCIDENT).status_code == 200


def test_what_ready_tries_leaves_nothing(client: TestClient, tmp_path: Path) -> None:
    assert client.get("/health/ready").status_code == 200
    with sqlite3.connect(tmp_path / "predictions.db") as other:
        assert other.execute("SELECT count(*) FROM predictions").fetchone() == (0,)
