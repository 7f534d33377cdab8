"""Every overlay is valid, locked down, and made of the sources that observability/ has."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from accidents.__about__ import __version__
from engine.kubernetes_cluster import RIGHTS as DASK_RIGHTS
from observability.dashboards import dashboards
from observability.kubernetes import FOLDER, objects
from observability.metric_names import MODEL_SERVER, OWN, PUSHED, SUPERVISOR
from serving.api.operations.keys import TOO_OPEN
from stacks.cluster.objects import KINDS
from stacks.components.image_layout import STATE, WRITTEN
from stacks.components.kubernetes_image.orchestrator import RIGHTS, TOKEN_RIGHTS
from stacks.components.seldon_core.cluster_serving import rights
from stacks.components.seldon_core.description import (
    Served,
    ServedBundle,
)
from stacks.components.seldon_core.model_pod import pod_metadata, pod_spec
from stacks.components.seldon_core.renderings import RENDERINGS
from stacks.components.seldon_core.settings import SeldonCoreSettings
from tests.conftest import ROOT
from tests.manifests.documents import (
    deployed,
    kustomize,
    of_kind,
    pods,
    with_component,
)
from tests.observability.test_rules import RULES, named_in, of_the_api

COMPONENTS = sorted(each.name for each in (ROOT / "kubernetes" / "components").iterdir())
# Kinds of the Prometheus operator and of External Secrets: no schema of Kubernetes' own.
CUSTOM = ("monitoring.coreos.com/v1", "external-secrets.io/v1")


def test_it_is_valid_and_an_unknown_field_is_not(documents: list[dict[str, Any]], tmp_path: Path) -> None:
    known = deepcopy([each for each in documents if each["apiVersion"] not in CUSTOM])
    done = validated(known, tmp_path)
    assert done.returncode == 0, done.stdout
    of_kind(known, "Deployment")[0]["spec"]["replica"] = 3
    assert "'replica' was unexpected" in validated(known, tmp_path).stdout


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_is_valid_beside_an_overlay(component: str, tmp_path: Path) -> None:
    """But its custom kinds, which a cluster that knows them checks: tests/cluster/test_manifests.py."""
    known = [each for each in with_component("dev", component, tmp_path) if each["apiVersion"] not in CUSTOM]
    done = validated(known, tmp_path)
    assert done.returncode == 0, done.stdout


def validated(documents: list[dict[str, Any]], folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "all.yaml"
    file.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "kubernetes_validate", "--strict", "--quiet", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_pod_is_locked_down_and_says_what_it_takes(documents: list[dict[str, Any]]) -> None:
    names = {each["metadata"]["name"] for each in documents}
    more = names & {"accidents-pushgateway", "accidents-dask-scheduler", "accidents-dask-worker"}
    assert len(pods(documents)) == 2 + len(more)
    for pod in pods(documents):
        # A service `accidents-api` would be ACCIDENTS_API_SERVICE_PORT there, which our settings refuse.
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} <= container["resources"].keys()
            ours = {f"road-accidents/{name}:{__version__}" for name in ("api", "pipelines")}
            assert container["image"] in {*ours, image_of_the_platform("pushgateway")}


def image_of_the_platform(service: str) -> str:
    """Return the image of docker-compose.yml, which Dependabot renews: the cluster has the same."""
    platform = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return str(platform["services"][service]["image"])


def test_the_api_is_probed_and_gets_no_token(documents: list[dict[str, Any]]) -> None:
    api = deployed(documents, "accidents-api")
    assert api["automountServiceAccountToken"] is False
    (container,) = api["containers"]
    assert {"startupProbe", "readinessProbe", "livenessProbe", "lifecycle"} <= container.keys()


def test_no_secret_is_in_it_and_nobody_reaches_anybody_unless_told(documents: list[dict[str, Any]]) -> None:
    assert of_kind(documents, "Secret") == []
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(documents, "NetworkPolicy")}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (namespace,) = of_kind(documents, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_pipelines_may_read_no_secret_and_nothing_outside_the_namespace(
    documents: list[dict[str, Any]],
) -> None:
    assert of_kind(documents, "ClusterRole") == of_kind(documents, "ClusterRoleBinding") == []
    (role,) = of_kind(documents, "Role")
    verbs = {verb for rule in role["rules"] if "secrets" in rule["resources"] for verb in rule["verbs"]}
    assert not verbs & {"get", "list", "watch", "*"}
    assert "*" not in {word for rule in role["rules"] for words in rule.values() for word in words}


def test_the_pipelines_are_granted_what_stack_check_asks_for(documents: list[dict[str, Any]]) -> None:
    (role,) = of_kind(documents, "Role")
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    for asked in (RIGHTS, TOKEN_RIGHTS, DASK_RIGHTS, *map(rights, RENDERINGS.values())):
        for what, verbs in asked.items():
            kind, slash, part = what.partition("/")
            version, plural = KINDS[kind]
            for verb in verbs:
                assert (version.rpartition("/")[0], f"{plural}{slash}{part}", verb) in granted


def test_the_monitor_runs_once_at_a_time(documents: list[dict[str, Any]]) -> None:
    (monitor,) = of_kind(documents, "CronJob")
    assert monitor["spec"]["concurrencyPolicy"] == "Forbid"


def test_rules_and_dashboards_are_those_of_observability() -> None:
    written = {name: (FOLDER / name).read_text(encoding="utf-8") for name in objects()}
    assert written == objects(), "python -m observability.kubernetes"
    prod = list(yaml.safe_load_all(kustomize("prod")))
    assert len(of_kind(prod, "PrometheusRule")) == 3
    assert len([each for each in of_kind(prod, "ConfigMap") if "dashboard" in each["metadata"]["name"]]) == 3
    assert [len(of_kind(prod, kind)) for kind in ("ServiceMonitor", "PodMonitor")] == [2, 1]


def test_what_the_rules_name_is_read_by_prometheus_in_the_cluster() -> None:
    """But the supervisor's: there the kubelet brings a model server back."""
    prod = list(yaml.safe_load_all(kustomize("prod")))
    read = {
        "accidents-api": of_the_api(),
        "accidents-model-server": MODEL_SERVER,
        "accidents-pushgateway": PUSHED,
    }
    assert jobs(prod) == read.keys()
    known = {*(name for names in read.values() for name in names), *SUPERVISOR, *OWN}
    expressions = [rule["expr"] for rule in RULES]
    assert {name for each in expressions for name in named_in(each)} <= known
    asked = [words for each in expressions for words in re.findall(r'\bup\{job=~?"([^"]+)"', each)]
    assert {job for words in asked for job in words.split("|")} == {*read, "accidents-supervisor"}


def jobs(documents: list[dict[str, Any]]) -> set[str]:
    """Return what Prometheus calls what it reads: a service by its name, pods as they are told to be."""
    told = [
        rule["replacement"]
        for monitor in of_kind(documents, "PodMonitor")
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
        for rule in endpoint["relabelings"]
    ]
    selectors = [each["spec"]["selector"]["matchLabels"] for each in of_kind(documents, "ServiceMonitor")]
    services = [
        each["metadata"]["name"]
        for each in of_kind(documents, "Service")
        for selector in selectors
        if selector.items() <= each["metadata"]["labels"].items()
    ]
    return {*told, *services}


def test_what_the_monitor_found_reaches_prometheus() -> None:
    prod = list(yaml.safe_load_all(kustomize("prod")))
    (job,) = of_kind(prod, "CronJob")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]
    told = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
    (service,) = [each for each in of_kind(prod, "Service") if "pushgateway" in each["metadata"]["name"]]
    (port,) = service["spec"]["ports"]
    assert told["ACCIDENTS_PUSHGATEWAY"] == f"http://{service['metadata']['name']}:{port['port']}"
    (monitor,) = [
        each["spec"]
        for each in of_kind(prod, "ServiceMonitor")
        if each["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    ]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["honorLabels"], "what is pushed has a job and a model of its own"
    assert endpoint["port"] == port["name"]
    (container,) = deployed(prod, "accidents-pushgateway")["containers"]
    (listens,) = container["ports"]
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(prod, "NetworkPolicy")}
    assert policies["pushgateway"]["podSelector"]["matchLabels"] == service["spec"]["selector"]
    (rule,) = policies["pushgateway"]["ingress"]
    assert rule["ports"] == [{"port": listens["containerPort"], "protocol": "TCP"}]
    assert {"podSelector": {"matchLabels": pod["metadata"]["labels"]}} in rule["from"]
    assert not policies["pushgateway"].get("egress"), "it asks nobody"


def test_prometheus_finds_the_model_servers_of_each_runtime() -> None:
    (monitor,) = of_kind(list(yaml.safe_load_all(kustomize("prod"))), "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    champion = ServedBundle("1", "d", "s3://bucket/1")
    labels = pod_metadata(Served("model", champion), champion, SeldonCoreSettings())["labels"]
    pod = pod_spec(Served("model", champion), champion, SeldonCoreSettings())
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (renamed,) = endpoint["relabelings"]
    assert f'{renamed["targetLabel"]}="{renamed["replacement"]}"' in "".join(dashboards().values()).replace(
        '\\"', '"'
    )
    assert endpoint["port"] in [port["name"] for port in pod["containers"][0]["ports"]]


def test_a_probation_asks_the_api_of_the_cluster(documents: list[dict[str, Any]]) -> None:
    (monitor,) = of_kind(documents, "CronJob")
    (container,) = monitor["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each.get("value") for each in container["env"]}
    (service,) = [
        each for each in of_kind(documents, "Service") if each["metadata"]["name"] == "accidents-api"
    ]
    assert [port["port"] for port in service["spec"]["ports"]] == [80]
    assert told["ACCIDENTS_API"] == "http://accidents-api"


def test_a_clouds_identity_reaches_the_init_container_only_where_that_is_asked_for(tmp_path: Path) -> None:
    """What answers with it is no pod: without the component the model server's policy keeps it away."""
    documents = with_component("prod", "workload-identity", tmp_path)
    policies = {each["metadata"]["name"]: each for each in of_kind(documents, "NetworkPolicy")}
    assert policies["workload-identity"]["metadata"]["namespace"] == "accidents"
    rules = policies["workload-identity"]["spec"]["egress"]
    assert {(rule["to"][0]["ipBlock"]["cidr"], rule["ports"][0]["port"]) for rule in rules} == {
        ("169.254.169.254/32", 80), ("169.254.169.252/32", 988), ("169.254.170.23/32", 80),
    }  # fmt: skip
    assert "169.254" not in kustomize("prod")


def test_external_secrets_bring_every_secret_that_is_asked_for(tmp_path: Path) -> None:
    """But for the ingress's certificate, which others renew."""
    brought = of_kind(with_component("prod", "external-secrets", tmp_path), "ExternalSecret")
    stack = yaml.safe_load((ROOT / "stacks" / "kubernetes.yaml").read_text(encoding="utf-8"))["components"]
    asked = set(secrets_in(list(yaml.safe_load_all(kustomize("prod")))))
    asked |= {stack["model_deployer"]["config"]["bucket_secret"]}
    asked |= {stack["orchestrator"]["config"]["database_secret"]}
    assert {each["spec"]["target"]["name"] for each in brought} == asked - {"accidents-tls"}
    stores = {(*each["spec"]["secretStoreRef"].values(), each["metadata"]["namespace"]) for each in brought}
    assert stores == {("SecretStore", "accidents", "accidents")}


def secrets_in(part: Any) -> Iterator[str]:
    """Yield the names of Secrets that objects refer to, wherever they do."""
    if isinstance(part, dict):
        referring = (part[key] for key in ("secretKeyRef", "secretRef", "credentials") if key in part)
        yield from (reference["name"] for reference in referring)
        if "secretName" in part:
            yield part["secretName"]
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from secrets_in(each)


def test_the_monitor_may_write_where_its_image_does(documents: list[dict[str, Any]]) -> None:
    (monitor,) = [each for each in documents if each["kind"] == "CronJob"]
    (container,) = monitor["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    mounted = {each["mountPath"]: each.get("subPath") for each in container["volumeMounts"]}
    assert mounted == {f"{STATE}/{part}": part for part in WRITTEN} | {"/tmp": None}


def test_the_keys_are_readable_by_the_apis_group_alone(documents: list[dict[str, Any]]) -> None:
    """As the API wants them, or it does not start: serving/api/operations/keys.py."""
    volumes = deployed(documents, "accidents-api")["volumes"]
    (keys,) = [each for each in volumes if each["name"] == "keys"]
    assert keys["secret"]["defaultMode"] & TOO_OPEN == 0
