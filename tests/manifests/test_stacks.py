"""The API and the monitor are of one stack, whatever it is and wherever."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from accidents.__about__ import __version__
from stacks.components.seldon_core.description import (
    Served,
    ServedBundle,
)
from stacks.components.seldon_core.renderings import RENDERINGS
from stacks.placeholders import fill
from tests.conftest import ROOT
from tests.manifests.documents import (
    built,
    deployed,
    of_kind,
    pods,
)


def test_the_api_asks_where_the_monitors_stack_serves(documents: list[dict[str, Any]]) -> None:
    assert _stack_whose_champion_is_asked(documents) == "kubernetes-plain"


def test_with_seldon_core_the_api_asks_its_service_and_the_monitor_runs_on_its_stack(tmp_path: Path) -> None:
    """By the example of an overlay, of which nothing is passed over."""
    documents = _by_the_example(tmp_path, "seldon")
    assert _stack_whose_champion_is_asked(documents) == "kubernetes"
    images = {container["image"] for pod in pods(documents) for container in pod["containers"]}
    assert images == {f"registry.test/{name}:{__version__}" for name in ("api", "pipelines")}
    accounts = of_kind(documents, "ServiceAccount")
    assert all(each["imagePullSecrets"] == [{"name": "registry"}] for each in accounts)
    (ingress,) = of_kind(documents, "Ingress")
    assert (
        ingress["spec"]["rules"][0]["host"]
        == ingress["spec"]["tls"][0]["hosts"][0]
        != "accidents.example.org"
    )


@pytest.mark.parametrize("runtime", [None, "deployment", "kserve"])
@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_on_a_cloud_the_monitor_runs_on_its_stack_and_the_api_asks_what_its_runtime_makes(
    cloud: str, runtime: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the example's line for it, and the component that the page names for the runtime."""
    monkeypatch.setenv("ZENML_CUSTOM_SOURCE_ROOT", str(tmp_path))  # nobody's .env
    monkeypatch.delenv("SELDON_RUNTIME", raising=False)
    if runtime is not None:
        monkeypatch.setenv("SELDON_RUNTIME", runtime)
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)`.* \| (?:none|`components/(\w+)`) \| `(http://\S+)` \|$", page, re.MULTILINE
    )
    told = {named: (component or None, asked) for named, component, asked in rows}
    component, asked = told[runtime or "seldon"]
    documents = _by_the_example(tmp_path, component, cloud)
    assert _stack_whose_champion_is_asked(documents) == cloud
    (api,) = deployed(documents, "accidents-api")["containers"]
    assert {"name": "ACCIDENTS_MODEL_SERVER", "value": asked} in api["env"]


def _by_the_example(
    folder: Path, component: str | None = None, stack: str | None = None
) -> list[dict[str, Any]]:
    """Return what overlays/example.yaml makes, once a person has edited it."""
    text = (ROOT / "kubernetes" / "overlays" / "example.yaml").read_text(encoding="utf-8")
    text = text.replace("REGISTRY", "registry.test")
    if component is not None:
        text = text.replace("components: []", f"components: [../../components/{component}]")
    if stack is not None:
        text = re.sub("^  # (?=- target: {kind: CronJob|  )", "  ", text, flags=re.MULTILINE)
        text = text.replace("STACK", stack)
    overlay = folder / "overlays" / "ours"
    overlay.mkdir(parents=True)
    for part in ("base", "components"):
        (folder / part).symlink_to(ROOT / "kubernetes" / part)
    (folder / "overlays" / "dev").symlink_to(ROOT / "kubernetes" / "overlays" / "dev")
    (overlay / "kustomization.yaml").write_text(text, encoding="utf-8")
    return list(yaml.safe_load_all(built(overlay)))


def _stack_whose_champion_is_asked(documents: list[dict[str, Any]]) -> str:
    """Return the stack of the monitor, once the API asks where that one serves."""
    (monitor,) = of_kind(documents, "CronJob")
    (container,) = monitor["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    stack = str(container["command"][container["command"].index("--stack") + 1])
    content = yaml.safe_load((ROOT / "stacks" / f"{stack}.yaml").read_text(encoding="utf-8"))
    runtime = fill(content["components"]["model_deployer"]["config"]["runtime"], f"Stack {stack}")
    (api,) = deployed(documents, "accidents-api")["containers"]
    told = {each["name"]: each.get("value") for each in api["env"]}
    champion = ServedBundle("1", "d", "s3://bucket/1")
    service, port = RENDERINGS[runtime].address(Served(told["ACCIDENTS_MODEL_NAME"], champion), champion)
    assert told["ACCIDENTS_MODEL_SERVER"] == f"http://{service}:{port}"
    return stack
