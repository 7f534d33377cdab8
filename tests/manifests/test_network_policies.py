"""Who may reach whom."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.components.kubernetes_image.config import locked_down
from stacks.components.seldon_core.description import (
    HTTP_PORT,
    METRICS_PORT,
    Served,
    ServedBundle,
)
from stacks.components.seldon_core.model_pod import pod_metadata
from stacks.components.seldon_core.settings import SeldonCoreSettings
from tests.manifests.documents import (
    NAME,
    of_kind,
)


def test_what_must_flow_to_a_model_server_is_let_through(documents: list[dict[str, Any]]) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(documents, "NetworkPolicy")}
    asked = {rule["ports"][0]["port"]: rule.get("from") for rule in policies["model-server"]["ingress"]}
    reading = {"namespaceSelector": {}, "podSelector": {"matchLabels": {NAME: "prometheus"}}}
    assert asked == {HTTP_PORT: None, METRICS_PORT: [reading]}
    champion = ServedBundle("1", "d", "s3://bucket/1")
    labels = pod_metadata(Served("model", champion), champion, SeldonCoreSettings())["labels"]
    (selected,) = [rule for rule in policies["api"]["egress"] if "to" in rule]
    assert selected["to"][0]["podSelector"]["matchLabels"].items() <= labels.items()
    assert selected["ports"] == [{"port": HTTP_PORT, "protocol": "TCP"}]
    (dns,) = policies["dns"]["egress"]
    assert {(each["port"], each["protocol"]) for each in dns["ports"]} == {(53, "UDP"), (53, "TCP")}


def test_only_named_rules_are_open_to_everybody(documents: list[dict[str, Any]]) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(documents, "NetworkPolicy")}
    opened = {
        (name, way, *sorted(each["port"] for each in rule.get("ports", ())))
        for name, spec in policies.items()
        for way, whom in (("ingress", "from"), ("egress", "to"))
        for rule in spec.get(way, ())
        if whom not in rule
    }
    assert opened == {
        ("dns", "egress", 53, 53),
        ("api", "ingress", 8000), ("api", "egress", 5432),
        ("model-server", "ingress", HTTP_PORT), ("model-server", "egress", 443, 7070),
        ("pipelines", "egress"), ("dask-worker", "egress", 443, 7070),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "more"),
    [({}, set()), (locked_down().labels, {"pipelines"}), ({NAME: "monitor"}, {"pipelines"})],
    ids=["of somebody else", "a step's", "the monitor's"],
)
def test_a_pod_that_nobody_has_named_reaches_dns_alone(
    labels: dict[str, str], more: set[str], documents: list[dict[str, Any]]
) -> None:
    policies = of_kind(documents, "NetworkPolicy")
    chosen = {each["metadata"]["name"] for each in policies if selects(each["spec"]["podSelector"], labels)}
    assert chosen == {"deny-all", "dns"} | more


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether Kubernetes has a selector choose a pod: `NotIn` chooses one without the label, too."""
    wanted = selector.get("matchExpressions", ())
    inside = ((labels.get(each["key"]) in each["values"], each["operator"]) for each in wanted)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        found is (operator == "In") for found, operator in inside
    )
