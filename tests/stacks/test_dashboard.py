"""The local dashboards open: ZenML's on the runs and not on a form, MLflow's on those of a stack."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from stacks.dashboard import skip_survey
from tests.conftest import ROOT
from tests.processes import free_port


def test_the_survey_is_answered_before_the_dashboard_opens(zenml_store: Path) -> None:
    from zenml.client import Client

    assert Client().active_user.email_opted_in is None
    skip_survey()
    # What the dashboard's own code asks before it shows the form.
    user = Client().get_user(Client().active_user.id)
    assert user.email_opted_in is False
    assert user.user_metadata["finished_onboarding_survey"] is True


@contextmanager
def shown(*words: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that shows pages until it is told to end, as by Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words], cwd=ROOT, env={**os.environ, **environment}, start_new_session=True
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def page(process: subprocess.Popen[bytes], port: int) -> str:
    """The page at its address on this machine, once it answers."""
    for _ in range(600):
        assert process.poll() is None, "it has ended"
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=5)
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        return answer.raise_for_status().text
    raise AssertionError("no answer")


@pytest.mark.slow
@pytest.mark.server
def test_zenmls_page_opens(zenml_store: Path) -> None:
    port = free_port()
    with shown("stacks.dashboard", "--port", str(port)) as process:
        assert "<title>ZenML" in page(process, port)


@pytest.mark.slow
@pytest.mark.server
def test_mlflows_page_opens(zenml_store: Path) -> None:
    port = free_port()
    with shown("stacks.mlflow_ui", "--stack", "local", MLFLOW_PORT=str(port)) as process:
        assert "<title>MLflow" in page(process, port)
