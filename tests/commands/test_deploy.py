"""What a deployment says is next."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from commands import deploy
from commands.api import ASKED
from commands.background import Background
from stacks.errors import StackError

HERE = "http://127.0.0.1:8085"
FACTS: deploy.DeploymentFacts = {
    "name": "a-model", "version": "1", "url": "http://a", "before": None, "ended": [],
    "golden_rows": 1, "difference": 0.0, "synthetic": False,
}  # fmt: skip


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Background]:
    made = Background(tmp_path, "api")
    monkeypatch.setattr(deploy, "API", made)
    yield made
    made.stop()


def next_step(v2_address: str | StackError | None, on_this_machine: bool) -> str:
    def address() -> str | None:
        if isinstance(v2_address, StackError):
            raise v2_address
        return v2_address

    endpoint: Any = SimpleNamespace(v2_address=address)
    return deploy._next(endpoint, on_this_machine)


@pytest.mark.parametrize(
    ("on_this_machine", "told"),
    [(True, "Next: [bold]make serve[/]"), (False, "The API in the cluster answers with it")],
)
def test_an_api_that_runs_here_is_told_if_it_asks_this_model(
    api: Background, on_this_machine: bool, told: str
) -> None:
    """As with `address` of a cluster's model deployer; it may ask that of another stack."""
    assert next_step(HERE, on_this_machine).startswith(told)
    api.start([sys.executable, "-c", "import time; time.sleep(60)"], {ASKED: HERE}, "http://127.0.0.1:8000")
    assert next_step(HERE, on_this_machine) == "The API runs at http://127.0.0.1:8000;"
    told = "The API at http://127.0.0.1:8000 asks another model: [bold]python run.py stop[/]"
    for other in (None, "http://model.example.org", StackError("it does not answer")):
        expected = told if on_this_machine else "The API in the cluster answers with it"
        assert next_step(other, on_this_machine).startswith(expected)


def test_it_stands_at_the_end_of_what_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    deploy._show(FACTS, 1.0, "Next: [bold]make serve[/];")
    assert "1 s. Next: make serve; python run.py status tells what runs." in capsys.readouterr().out
