"""The artifact stores of stacks `azure` and `gcp`, on emulators: the same model and predictions as on `bare`.

Steps and model server are this machine's, so that nothing but the store differs. Of `gcp` the service
connector takes part, too: it logs in at a stand-in of Google's server of tokens. That of `azure` cannot: it
asks services of Microsoft's whose addresses cannot be set.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.oauth_stand_in import TOKEN, running_token_server
from tests.pipelines.conftest import Project
from tests.platform_parts import AZURE_KEY, Server, azure_login, running_azurite, running_gcs
from tests.processes import kill_all_of
from tests.servers.conftest import tiny_project
from tests.servers.matrix import found_on, found_on_bare

BUCKET = "zenml"
EXPORTED = """
import yaml
from zenml.client import Client
print(yaml.safe_dump(Client().get_stack("on-emulator").to_yaml()))
print(Client().get_stack("on-emulator").model_dump_json())
"""


def test_azure(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_azurite(tmp_path / "azurite", BUCKET) as server, project_on(tmp_path, "azure") as project:
        settings = {"AZURE_CONTAINER": BUCKET, "AZURE_STORAGE_CONNECTION_STRING": azure_login(server)}
        same_as_on_bare(project, settings, tmp_path_factory, f"az://{BUCKET}", [AZURE_KEY])
        assert b"bundle.json" in stored(server, "__azurite_db_blob__.json")


def test_gcp(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        running_gcs(tmp_path / "gcs", BUCKET) as server,
        running_token_server() as tokens,
        project_on(tmp_path, "gcp", connector=True) as project,
    ):
        settings = {
            "GCP_BUCKET": BUCKET,
            "GCP_SERVICE_ACCOUNT_JSON": tokens.key,
            "STORAGE_EMULATOR_HOST": server.url,
        }
        same_as_on_bare(project, settings, tmp_path_factory, f"gs://{BUCKET}", [tokens.private, TOKEN])
        assert "urn:ietf:params:oauth:grant-type:jwt-bearer" in tokens.asked
        assert list((server.folder / "data" / BUCKET).rglob("bundle.json"))


@contextmanager
def project_on(folder: Path, cloud: str, connector: bool = False) -> Iterator[Project]:
    """A small project with the stack `on-emulator`: `local`, with the artifact store of a cloud's file."""
    project = tiny_project(folder / "a project")
    stacks = project.folder / "stacks"
    (of_cloud, local) = (yaml.safe_load((stacks / f"{name}.yaml").read_text()) for name in (cloud, "local"))
    store = {"artifact_store": of_cloud["components"]["artifact_store"]}
    # MLflow's flavor keeps its runs in the artifact store, and could not in this one.
    kept = {kind: local["components"][kind] for kind in ("orchestrator", "data_validator", "model_deployer")}
    stack: dict[str, Any] = {
        "name": "on-emulator",
        "description": f"Of {cloud}, but for the store's address.",
        "components": kept | store,
    }
    if connector:
        stack["connector"] = of_cloud["connector"] | {"connects": ["artifact_store"]}
    (stacks / "on-emulator.yaml").write_text(yaml.safe_dump(stack))
    try:
        yield project
    finally:
        kill_all_of(project.folder)


def same_as_on_bare(
    project: Project,
    settings: dict[str, str],
    factory: pytest.TempPathFactory,
    place: str,
    secrets: list[str],
) -> None:
    """Ask all of a stack, with what a shell says; no secret of it is in what was said or exported."""
    project.environment |= settings
    said = project("stack", "apply", "on-emulator").stdout
    assert "nothing has changed" in project("stack", "apply", "on-emulator").stdout
    checked = project("stack", "check", "on-emulator").stdout
    assert f"wrote, read and deleted an object in {place}" in checked
    found = found_on("on-emulator", project)
    exported = project.python(EXPORTED)
    assert place in exported
    found.assert_same_as(found_on_bare(factory))
    everything = "\n".join([said, checked, found.said, exported])
    assert not [secret for secret in secrets if secret in everything]


def stored(server: Server, name: str) -> bytes:
    return (server.folder / "data" / name).read_bytes()
