"""What a deployment says is next."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import deploy
from commands.background import Background


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Background]:
    made = Background(tmp_path, "api")
    monkeypatch.setattr(deploy, "API", made)
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("on_this_machine", "told"),
    [(True, "Next: [bold]make serve[/]"), (False, "The API in the cluster answers with it")],
)
def test_an_api_that_runs_here_is_told_wherever_the_model_serves(
    api: Background, on_this_machine: bool, told: str
) -> None:
    """As with `address` of a cluster's model deployer."""
    assert deploy._next(on_this_machine).startswith(told)
    api.start([sys.executable, "-c", "import time; time.sleep(60)"], {}, "http://127.0.0.1:8000")
    assert deploy._next(on_this_machine) == "The API runs at http://127.0.0.1:8000;"
