"""A namespace of a real cluster, with the rights of kubernetes/base and no more, and a bucket for its pods.

Each module has its own, which may take rights away in it, or have its Secrets lead to servers of its own.

    KUBECONFIG=... CLUSTER_HOST=ADDRESS IMAGES_TAG=TAG python -m pytest tests/cluster

CLUSTER_HOST is the address under which pods reach this machine. The nodes must have our images with this tag.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from accidents.__about__ import __version__
from stacks.cluster.namespace import Namespace, find_namespace
from tests.conftest import ROOT
from tests.model_servers import Version, make_version
from tests.platform_parts import S3_KEY, S3_SECRET, running_s3

KUBECTL = str(Path(sys.executable).with_name("kubectl"))
BUCKET = "bundles"
TAG = os.environ.get("IMAGES_TAG", __version__)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a cluster where none is named."""
    missing = [name for name in ("KUBECONFIG", "CLUSTER_HOST") if name not in os.environ]
    if missing:
        reason = f"no cluster: {' and '.join(missing)} not set (docs/kubernetes.md)"
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@dataclass(frozen=True)
class TestNamespace:
    """A namespace of the tests' own.

    Attributes
    ----------
    kubeconfig : with the rights of the service account of the pipelines, and no others.
    """

    __test__ = False

    name: str
    kubeconfig: Path
    namespace: Namespace

    def admin(self, *words: str, give: str | None = None) -> str:
        """Ask kubectl with the rights of whoever runs the tests."""
        return kubectl("--namespace", self.name, *words, give=give)


def kubectl(*words: str, give: str | None = None) -> str:
    done = subprocess.run([KUBECTL, *words], input=give, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestNamespace]:
    """Make the namespace and its rights as kubernetes/base has them; it goes with the module."""
    name = f"accidents-test-{uuid.uuid4().hex[:6]}"
    documents = list(yaml.safe_load_all(kubectl("kustomize", str(ROOT / "kubernetes" / "overlays" / "dev"))))
    wanted = ("Namespace", "ServiceAccount", "Role", "RoleBinding", "LimitRange", "NetworkPolicy")
    for document in (each for each in documents if each["kind"] in wanted):
        kubectl("apply", "--filename", "-", give=json.dumps(moved(document, name)))
    try:
        folder = tmp_path_factory.mktemp("kubeconfig")
        kubeconfig = _login(name, folder / "kubeconfig")
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("KUBECONFIG", str(kubeconfig))
            namespace = find_namespace(name)
        yield TestNamespace(name, kubeconfig, namespace)
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def moved(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an object of the overlay in another namespace."""
    return dict(
        json.loads(json.dumps(document).replace('"namespace": "accidents"', f'"namespace": "{name}"'))
    ) | ({"metadata": {**document["metadata"], "name": name}} if document["kind"] == "Namespace" else {})


def _login(namespace: str, file: Path) -> Path:
    """Write a kubeconfig with a token of the pipelines' service account.

    It must last as long as a module, hours on a busy machine. A cluster with a lower bound of its own gives
    that without an error (`--service-account-max-token-expiration` of its API server).
    """
    token = kubectl(
        "--namespace", namespace, "create", "token", "accidents-pipelines", "--duration=12h"
    ).strip()
    content = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))
    content["users"] = [{"name": content["users"][0]["name"], "user": {"token": token}}]
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def bucket(cluster: TestNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bucket that pods reach, whose files are in this folder; its login is in a Secret."""
    folder = tmp_path_factory.mktemp("s3")
    with (
        running_s3(folder, BUCKET) as server,
        forwarded(int(server.url.rpartition(":")[2])) as address,
        logged_in({**give_login(cluster, address), "AWS_ENDPOINT_URL": server.url}),
    ):
        yield folder


@contextmanager
def logged_in(login: Mapping[str, str]) -> Iterator[None]:
    """Have this process ask the S3 server of a login; else s3fs keeps the one before, which has ended."""
    import s3fs

    with pytest.MonkeyPatch.context() as patched:
        for name, value in login.items():
            patched.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield
    s3fs.S3FileSystem.clear_instance_cache()


def give_login(cluster: TestNamespace, address: str) -> dict[str, str]:
    """Have the namespace's Secret hold the login of an S3 server at an address; returns it."""
    login = {
        "AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET, "AWS_ENDPOINT_URL": address,
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    give_secret(cluster, "accidents-bucket", login)
    return login


def give_secret(cluster: TestNamespace, name: str, content: Mapping[str, str]) -> None:
    """Have a Secret hold this."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
    cluster.admin("apply", "--filename", "-", give=json.dumps(secret))


def install_api(cluster: TestNamespace, *components: str) -> str:
    """Apply the overlay for one machine, with components of kubernetes/; return where the API answers.

    Its Secrets accidents-api-keys and accidents-database must be there.
    """
    for document in _overlay(components):
        kubectl("apply", "--filename", "-", give=json.dumps(moved(document, cluster.name)))
    cluster.admin("rollout", "status", "deployment/accidents-api", "--timeout=400s")
    node = json.loads(kubectl("get", "nodes", "--output", "json"))["items"][0]
    (address,) = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
    port = cluster.admin("get", "service", "accidents-api", "--output", "jsonpath={.spec.ports[0].nodePort}")
    _wait_until_led_to(address, int(port))
    return f"http://{address}:{port}"


def _wait_until_led_to(address: str, port: int, seconds: float = 60) -> None:
    """Wait until the node leads its port to the pods, which it hears of a moment after they are ready."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((address, port), timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < end, f"nothing listens on {address}:{port} after {seconds} s"
            time.sleep(0.5)


def _overlay(components: Iterable[str]) -> list[dict[str, Any]]:
    """Return the overlay's objects with the images of the test, and a second pod of the API."""
    documents = kustomized("kind", components)
    for document in documents:
        if document["kind"] == "HorizontalPodAutoscaler":
            document["spec"]["minReplicas"] = 2  # one that is evicted has no other
        if document["kind"] == "Service":
            document["spec"]["ports"][0].pop("nodePort")  # of several namespaces at once the cluster chooses
    return documents


def kustomized(overlay: str, components: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return what an overlay with components of kubernetes/ makes, with the images of the test."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "kubernetes").symlink_to(ROOT / "kubernetes")
        content = {
            "resources": [f"kubernetes/overlays/{overlay}"],
            "components": [f"kubernetes/components/{each}" for each in components],
        }
        (Path(name) / "kustomization.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        text = kubectl("kustomize", "--load-restrictor=LoadRestrictionsNone", name)
    for image in ("api", "pipelines"):
        text = text.replace(f"road-accidents/{image}:{__version__}", f"road-accidents/{image}:{TAG}")
    return list(yaml.safe_load_all(text))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, ...]:
    """Two tiny bundles."""
    return tuple(make_version(tmp_path_factory.mktemp(f"version-{number}"), number) for number in (1, 2))


@pytest.fixture(scope="module")
def versions(bucket: Path, made: tuple[Version, ...]) -> tuple[tuple[Version, str], ...]:
    """The two bundles, and where each is in the bucket."""
    import s3fs

    store, uris = s3fs.S3FileSystem(), [f"s3://{BUCKET}/{number}" for number in (1, 2)]
    for version, uri in zip(made, uris, strict=True):
        store.put(f"{version.bundle.folder}/", f"{uri}/", recursive=True)
    return tuple(zip(made, uris, strict=True))


@contextmanager
def forwarded(port: int) -> Iterator[str]:
    """Let pods reach a port of loopback, under CLUSTER_HOST."""
    host = os.environ["CLUSTER_HOST"]
    relay = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("relay.py")), host, str(port)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert relay.stdout
        yield f"http://{host}:{int(relay.stdout.readline())}"
    finally:
        relay.kill()
        relay.communicate()
