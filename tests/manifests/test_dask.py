"""Overlay dask: workers that are reached by those who work on them, and have room."""

from __future__ import annotations

import re
from typing import Any

import yaml

from engine.shared_bags import PORTS
from tests.conftest import ROOT
from tests.manifests.documents import (
    NAME,
    kustomize,
    of_kind,
)


def test_dask_is_reached_by_who_works_on_it_and_by_nobody_else() -> None:
    documents = list(yaml.safe_load_all(kustomize("dask")))
    named = {(each["kind"], each["metadata"]["name"]): each for each in documents}
    scheduler = named["Deployment", "accidents-dask-scheduler"]["spec"]["template"]
    worker = named["Deployment", "accidents-dask-worker"]["spec"]["template"]
    (service,) = [name for kind, name in named if kind == "Service" and "dask" in name]
    (started,) = worker["spec"]["containers"]
    assert f"tcp://{service}:8786" in started["command"]
    assert named["Service", service]["spec"]["selector"] == scheduler["metadata"]["labels"]
    told = dict(word.removeprefix("--").split("=") for word in started["command"] if "=" in word)
    assert bytes_of(told["memory-limit"]) < bytes_of(started["resources"]["limits"]["memory"])
    ports = {int(told["worker-port"]), int(told["nanny-port"])}
    assert {each["containerPort"] for each in started["ports"]} == ports
    policies = {name: each["spec"] for (kind, name), each in named.items() if kind == "NetworkPolicy"}
    of_lightgbm = {"port": PORTS[0], "endPort": PORTS[-1], "protocol": "TCP"}
    others: dict[str, dict[str, Any]] = {
        "dask-scheduler": {"port": 8787, "protocol": "TCP"},
        "dask-worker": of_lightgbm,
    }
    for name, reached in (("dask-scheduler", {8786}), ("dask-worker", ports)):
        rule, other = policies[name]["ingress"]
        assert {each["port"] for each in rule["ports"]} == reached
        assert other["ports"] == [others[name]]
    among = {"podSelector": {"matchLabels": {NAME: "dask-worker"}}}
    assert policies["dask-worker"]["ingress"][1]["from"] == [among]
    (out,) = [each for each in policies["dask-worker"]["egress"] if each.get("to") == [among]]
    assert of_lightgbm in out["ports"]
    (asked,) = policies["dask-scheduler"]["ingress"][0]["from"][0]["podSelector"]["matchExpressions"]
    assert (asked["operator"], asked["values"]) == ("In", ["step", "monitor", "dask-worker"])


def test_the_quota_has_room_for_the_workers_that_the_page_asks_for() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    (workers,) = re.findall(r"accidents-dask-worker --replicas (\d+)", page)
    documents = list(yaml.safe_load_all(kustomize("dask")))
    of = {each["metadata"]["name"]: each["spec"]["template"] for each in of_kind(documents, "Deployment")}
    worker, scheduler = (
        of[f"accidents-dask-{name}"]["spec"]["containers"][0]["resources"] for name in ("worker", "scheduler")
    )
    (before,), (now,) = (
        of_kind(list(yaml.safe_load_all(kustomize(name))), "ResourceQuota") for name in ("dev", "dask")
    )
    for name in ("requests.cpu", "requests.memory", "limits.memory"):
        kind, _, what = name.partition(".")
        taken = int(workers) * amount(worker[kind][what]) + amount(scheduler[kind][what])
        room = amount(now["spec"]["hard"][name]) - amount(before["spec"]["hard"][name])
        assert room >= taken, name


def amount(text: str) -> float:
    """Of processors or bytes."""
    if text.endswith("i"):
        return bytes_of(text)
    return int(text.removesuffix("m")) / 1000 if text.endswith("m") else int(text)


def bytes_of(text: str) -> int:
    """Of Kubernetes' 4Gi, or Dask's 4GiB."""
    size = text.removesuffix("B")
    return int(size[:-2]) * {"Mi": 1 << 20, "Gi": 1 << 30}[size[-2:]]
