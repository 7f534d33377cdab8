"""The values for Airflow's Helm chart are of the image that dags/Dockerfile builds."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT


def text(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def found(pattern: str, file: str) -> str:
    """What the one group of a pattern finds in a file."""
    (one,) = re.findall(pattern, text(file), flags=re.M)
    return str(one)


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return dict(yaml.safe_load(text("dags/helm-values.yaml")))


def test_image_user_and_folders_are_those_that_are_built(values: dict[str, Any]) -> None:
    assert values["images"]["airflow"]["repository"].endswith("/airflow")
    assert "$(BUILD)airflow:$(TAG)" in text("Makefile")
    assert f"{values['uid']}:{values['gid']}" == found(r"^USER (\S+)$", "Dockerfile")
    assert values["airflowHome"] == found(r"AIRFLOW_HOME=(\S+)", "dags/Dockerfile")
    # The image says which configuration is read: the chart's would be passed over.
    assert found(r"AIRFLOW_CONFIG=(\S+)", "dags/Dockerfile") == "/app/configs/airflow.cfg"
    assert "config" not in values


def test_its_airflow_is_the_locked_one_to_the_chart(values: dict[str, Any]) -> None:
    locked = found(r"^apache-airflow-core==(\S+)", "requirements/airflow.txt")
    assert values["airflowVersion"].rpartition(".")[0] == locked.rpartition(".")[0]


def test_it_is_told_what_the_platform_s_airflow_is_told(values: dict[str, Any]) -> None:
    """Which is tried in tests/containers/test_airflow.py."""
    told = {one["name"]: one["value"] for one in values["env"]}
    on_platform = yaml.safe_load(text("docker-compose.yml"))["x-airflow"]["environment"]
    for name in ("AIRFLOW__API__HOST", "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"):
        assert told[name] == on_platform[name]
    assert told["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].endswith(":8080/execution/")
    assert (ROOT / "stacks" / f"{told['ACCIDENTS_STACK']}.yaml").is_file()


def test_no_part_asks_for_a_script_of_the_official_image(values: dict[str, Any]) -> None:
    for part in ("scheduler", "dagProcessor"):
        assert values[part]["logGroomerSidecar"] == {"enabled": False}
        probes = [probe for name, probe in values[part].items() if name.endswith("Probe")]
        assert probes
        assert all(probe["command"][0] == "airflow" for probe in probes)
    assert not values["triggerer"]["enabled"]
    assert not values["createUserJob"]["enabled"]


def test_its_pods_are_those_that_the_namespace_lets_in(values: dict[str, Any]) -> None:
    namespace = yaml.safe_load(text("kubernetes/base/namespace.yaml"))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = values["securityContexts"]["pod"]
    assert pod["runAsNonRoot"]
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["runAsUser"] == pod["fsGroup"] == values["uid"]


def test_its_tasks_have_the_rights_that_the_stack_asks_for(values: dict[str, Any]) -> None:
    """A task runs in the scheduler's pod, and starts pods and deploys from there."""
    bindings = [
        one for one in yaml.safe_load_all(text("kubernetes/base/rbac.yaml")) if one["kind"] == "RoleBinding"
    ]
    (pipelines,) = [one for one in bindings if one["metadata"]["name"] == "accidents-pipelines"]
    account = values["scheduler"]["serviceAccount"]
    assert account["create"] is False
    assert account["name"] in [subject["name"] for subject in pipelines["subjects"]]
    namespace = found("^namespace: (.*)$", "kubernetes/base/kustomization.yaml")
    assert f"--namespace {namespace} " in text("dags/helm-values.yaml")
