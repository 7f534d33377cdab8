"""The dashboards in the repository are those of the code, and ask for what there is."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from observability.addresses import HERE
from observability.dashboards import FOLDER, dashboards
from tests.observability.test_rules import RECORDED, RULES, unknown

BOARDS = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.json"))}


def test_the_files_are_what_the_code_makes() -> None:
    assert dashboards() == BOARDS, "run: python -m observability.dashboards"


def panels(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(BOARDS[name])["panels"]
    return found


@pytest.mark.parametrize("name", list(BOARDS))
def test_panels_ask_for_what_is_exposed_and_do_not_overlap(name: str) -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    taken: set[tuple[int, int]] = set()
    for panel in panels(name):
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["targets"], panel["title"]
        for target in panel.get("targets", []):
            assert unknown(target["expr"]) == set(), target["expr"]
            assert set(RECORDED.findall(target["expr"])) <= recorded
    ids = [panel["id"] for panel in panels(name)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", list(BOARDS))
def test_the_data_source_can_be_chosen_and_the_provisioned_one_is_found(name: str) -> None:
    board = json.loads(BOARDS[name])
    assert board["templating"]["list"][0]["type"] == "datasource"
    for panel in board["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    source = yaml.safe_load((HERE / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    scrape = yaml.safe_load((HERE / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["datasources"][0]["jsonData"]["timeInterval"] == scrape


def test_every_metric_of_ours_is_drawn_or_ruled() -> None:
    """What nobody looks at need not be pushed."""
    from observability.metric_names import PUSHED

    texts = [*BOARDS.values(), *(rule["expr"] for rule in RULES)]
    assert [name for name in PUSHED if not any(name in text for text in texts)] == []
