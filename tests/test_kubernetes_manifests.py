"""kubernetes/: every overlay is valid, locked down, and made of the sources that observability/ has."""

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
from engine.shared_bags import PORTS
from observability.dashboards import dashboards
from observability.kubernetes import FOLDER, objects
from observability.metric_names import MODEL_SERVER, OWN, PUSHED, SUPERVISOR
from serving.api.operations.keys import TOO_OPEN
from stacks.cluster.objects import KINDS
from stacks.components.image_layout import STATE, WRITTEN
from stacks.components.kubernetes_image.config import locked_down
from stacks.components.kubernetes_image.orchestrator import RIGHTS, TOKEN_RIGHTS
from stacks.components.seldon_core.cluster_serving import rights
from stacks.components.seldon_core.description import (
    HTTP_PORT,
    METRICS_PORT,
    Served,
    ServedBundle,
)
from stacks.components.seldon_core.model_pod import pod_metadata, pod_spec
from stacks.components.seldon_core.renderings import RENDERINGS
from stacks.components.seldon_core.settings import SeldonCoreSettings
from stacks.placeholders import fill
from tests.conftest import ROOT
from tests.observability.test_rules import RULES, named_in, of_the_api

OVERLAYS = ("dev", "prod", "kind", "dask")
NAME = "app.kubernetes.io/name"
COMPONENTS = sorted(each.name for each in (ROOT / "kubernetes" / "components").iterdir())
# Kinds of the Prometheus operator and of External Secrets: no schema of Kubernetes' own.
CUSTOM = ("monitoring.coreos.com/v1", "external-secrets.io/v1")
KUBECTL = str(Path(sys.executable).with_name("kubectl"))


def kustomize(overlay: str) -> str:
    command = [KUBECTL, "kustomize", str(ROOT / "kubernetes" / "overlays" / overlay)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", params=OVERLAYS)
def documents(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    text = kustomize(request.param)
    assert text == kustomize(request.param)  # a diff of it is part of a pull request
    return list(yaml.safe_load_all(text))


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in documents if each["kind"] == kind]


def deployed(documents: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the pod of a Deployment."""
    (found,) = [each for each in of_kind(documents, "Deployment") if each["metadata"]["name"] == name]
    return dict(found["spec"]["template"]["spec"])


def pods(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    deployments = [each["spec"]["template"]["spec"] for each in of_kind(documents, "Deployment")]
    jobs = [each["spec"]["jobTemplate"]["spec"]["template"]["spec"] for each in of_kind(documents, "CronJob")]
    return [*deployments, *jobs]


def test_it_is_valid_and_an_unknown_field_is_not(documents: list[dict[str, Any]], tmp_path: Path) -> None:
    known = deepcopy([each for each in documents if each["apiVersion"] not in CUSTOM])
    done = validated(known, tmp_path)
    assert done.returncode == 0, done.stdout
    of_kind(known, "Deployment")[0]["spec"]["replica"] = 3
    assert "'replica' was unexpected" in validated(known, tmp_path).stdout


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_is_valid_beside_an_overlay(component: str, tmp_path: Path) -> None:
    """But its custom kinds, which a cluster that knows them checks: tests/cluster/test_manifests.py."""
    known = [each for each in _with_component("dev", component, tmp_path) if each["apiVersion"] not in CUSTOM]
    done = validated(known, tmp_path)
    assert done.returncode == 0, done.stdout


def _with_component(overlay: str, component: str, folder: Path) -> list[dict[str, Any]]:
    (folder / "base").symlink_to(ROOT / "kubernetes")
    (folder / "kustomization.yaml").write_text(
        f"resources: [base/overlays/{overlay}]\ncomponents: [base/components/{component}]\n", encoding="utf-8"
    )
    return list(yaml.safe_load_all(_built(folder)))


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
    return list(yaml.safe_load_all(_built(overlay)))


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


def _built(folder: Path) -> str:
    command = [KUBECTL, "kustomize", "--load-restrictor=LoadRestrictionsNone", str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


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
    documents = _with_component("prod", "workload-identity", tmp_path)
    policies = {each["metadata"]["name"]: each for each in of_kind(documents, "NetworkPolicy")}
    assert policies["workload-identity"]["metadata"]["namespace"] == "accidents"
    rules = policies["workload-identity"]["spec"]["egress"]
    assert {(rule["to"][0]["ipBlock"]["cidr"], rule["ports"][0]["port"]) for rule in rules} == {
        ("169.254.169.254/32", 80), ("169.254.169.252/32", 988), ("169.254.170.23/32", 80),
    }  # fmt: skip
    assert "169.254" not in kustomize("prod")


def test_external_secrets_bring_every_secret_that_is_asked_for(tmp_path: Path) -> None:
    """But for the ingress's certificate, which others renew."""
    brought = of_kind(_with_component("prod", "external-secrets", tmp_path), "ExternalSecret")
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
