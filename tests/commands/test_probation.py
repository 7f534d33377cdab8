"""Which API a probation asks: one that its step reaches."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from accidents.params import load_params
from commands import probation
from pipelines import code, runs
from steps.support import references
from tests.conftest import ROOT
from tests.monitor_reports import verdict
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]

OWN, GIVEN = "http://127.0.0.1:8000", "http://accidents-api"


@pytest.mark.usefixtures("zenml_store")  # importing a pipeline asks ZenML for its environment
@pytest.mark.parametrize(
    ("keeps_here", "given", "asked"),
    [(True, "", OWN), (False, "", None), (False, GIVEN, GIVEN), (True, GIVEN, GIVEN)],
    ids=["here", "in a pod", "in a pod of the API's cluster", "here, and one is named"],
)
def test_a_probation_in_a_pod_is_not_sent_to_the_api_of_this_machine(
    keeps_here: bool, given: str, asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    def run(pipeline: Any, config: Any, **arguments: Any) -> Any:
        told.update(arguments)
        return SimpleNamespace(load=lambda step, output: verdict())

    monkeypatch.setattr(runs, "run", run)
    monkeypatch.setattr(references, "refer_to", lambda stage, version: version)
    monkeypatch.setattr(code, "image_orchestrator", lambda: SimpleNamespace(keeps_here=keeps_here))
    monkeypatch.setattr(probation, "API", SimpleNamespace(url=OWN))
    monkeypatch.setenv("ACCIDENTS_API", given)
    params = load_params(ROOT / "params.yaml", {})
    assert probation.watch(params, "kubernetes", "4", "3", datetime.now(UTC)).stays
    assert told["api"] == asked
