"""The pipelines with their steps in pods: the model is the one that `bare` makes, and a cluster serves it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import TAG, TestNamespace, forwarded, give_login
from tests.pipelines.conftest import Project
from tests.platform_parts import (
    PASSWORD,
    S3_KEY,
    S3_SECRET,
    running_mariadb,
    running_mlflow,
    running_s3,
    running_zenml,
    service_account_key,
)
from tests.postgres import running_postgres
from tests.processes import kill_all_of
from tests.servers.conftest import tiny_project, write_settings
from tests.servers.matrix import found_on

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(5400)]
STACK = "kubernetes-plain"
PREDICTIONS = """
from zenml.client import Client
Client().create_secret("accidents", {"database_url": ADDRESS})
"""


@pytest.fixture(scope="module")
def project(cluster: TestNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose stack is on servers of this machine that pods reach, with the pipelines' rights."""
    folder = tmp_path_factory.mktemp("platform")
    with ExitStack() as held:

        def shared(url: str) -> str:
            """Where pods reach what listens on loopback; this machine reaches it there, too."""
            return held.enter_context(forwarded(int(url.rpartition(":")[2].split("/")[0])))

        s3 = held.enter_context(running_s3(folder / "s3", "zenml", "mlflow"))
        zenml = held.enter_context(running_zenml(folder / "zenml", held.enter_context(running_mariadb())))
        postgres = held.enter_context(running_postgres())
        mlflow = held.enter_context(running_mlflow(folder / "mlflow", postgres.new_database(), s3, "mlflow"))
        project = tiny_project(folder / "a project")
        held.callback(kill_all_of, project.folder)
        write_settings(
            project,
            {
                "S3_ENDPOINT": shared(s3.url), "S3_ACCESS_KEY": S3_KEY, "S3_SECRET_KEY": S3_SECRET,
                "MLFLOW_SERVER": shared(mlflow.url), "MLFLOW_PASSWORD": PASSWORD,
                "KUBERNETES_CONTEXT": context_of(cluster.kubeconfig), "KUBERNETES_NAMESPACE": cluster.name,
                "PIPELINES_IMAGE": f"road-accidents/pipelines:{TAG}",
                "MODEL_SERVER_IMAGE": f"road-accidents/model-server:{TAG}",
            },
        )  # fmt: skip
        sized(project.folder / "stacks" / f"{STACK}.yaml")
        give_login(cluster, shared(s3.url))
        project.environment |= {
            "ZENML_STORE_URL": shared(zenml.url),
            "ZENML_STORE_API_KEY": service_account_key(zenml, "ann"),
            "KUBECONFIG": str(cluster.kubeconfig),
        }
        predictions = postgres.new_database().replace("postgresql:", "postgresql+psycopg:")
        inside = predictions.replace(
            f"127.0.0.1:{postgres.port}", shared(f":{postgres.port}").removeprefix("http://")
        )
        project.python(f"ADDRESS = {inside!r}\n{PREDICTIONS}")
        project("stack", "apply", STACK)
        project("database", "upgrade", "--stack", STACK)
        yield project


def context_of(kubeconfig: Path) -> str:
    return str(yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))["current-context"])


def sized(file: Path) -> None:
    """A single node must hold all of it."""
    stack = yaml.safe_load(file.read_text(encoding="utf-8"))
    stack["components"]["model_deployer"]["config"] |= {"replicas": 1, "cpu": "50m"}
    file.write_text(yaml.safe_dump(stack, sort_keys=False), encoding="utf-8")


def test_the_same_commands_give_the_same_model_in_pods(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bare = found_on("bare", tiny_project(tmp_path_factory.mktemp("bare") / "a project"))
    found = found_on(STACK, project)
    print({"seconds": found.seconds, "bare": bare.seconds})
    found.assert_same_as(bare)
