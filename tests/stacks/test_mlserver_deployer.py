"""The `mlserver` model deployer in a real ZenML store: one service a model, and it says what is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stacks.apply import apply_stack
from stacks.components.mlserver.deployer import MLServerDeployer
from stacks.components.mlserver_service import MLServerService
from stacks.errors import StackError
from tests.model_servers import NAME, Version, broken, copy_code, daemon_of, end, make_version, settings
from tests.stacks.conftest import write_stack

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[Version]:
    return [make_version(tmp_path_factory.mktemp(f"seed{seed}"), seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def deployer(zenml_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLServerDeployer]:
    """That of an active stack, in a store in which the model has versions 1 and 2."""
    from zenml.client import Client

    code = copy_code(tmp_path_factory.mktemp("code"))
    config = settings(tmp_path_factory.mktemp("server"), code, restarts=0).model_dump(mode="json")
    folder = write_stack(
        tmp_path_factory.mktemp("stacks"), "served", model_deployer={"flavor": "mlserver", "config": config}
    )
    apply_stack("served", folder=folder)
    Client().create_model(NAME)
    for _ in range(2):
        Client().create_model_version(NAME)
    found = Client().active_stack.model_deployer
    assert isinstance(found, MLServerDeployer)
    yield found
    end(found.server)


def deploy(deployer: MLServerDeployer, number: str, version: Version) -> MLServerService:
    config = deployer.deployment(
        model_name=NAME, model_version=number, bundle=version.bundle.folder, golden=version.golden
    )
    return deployer.deploy_model(config)


def the_service(deployer: MLServerDeployer) -> MLServerService:
    (service,) = deployer.find_model_server(model_name=NAME)
    assert isinstance(service, MLServerService)
    return service


def zenml(*arguments: str) -> str:
    """What ZenML's command line says."""
    from click.testing import CliRunner
    from zenml.cli.cli import cli

    done = CliRunner().invoke(cli, ["model-deployer", "models", *arguments], env={"COLUMNS": "250"})
    assert done.exit_code == 0, done.output
    return done.output


def test_a_model_has_one_service_which_says_what_is_served(
    deployer: MLServerDeployer, versions: list[Version], tmp_path: Path
) -> None:
    for number, version in (("1", versions[0]), ("2", versions[1]), ("1", versions[0])):
        returned = deploy(deployer, number, version)
        service = the_service(deployer)
        assert service.uuid == returned.uuid
        assert (service.config.model_version, service.status.state.value) == (number, "active")
        assert service.status.last_error == ""
        assert service.prediction_url is not None
        assert service.prediction_url.endswith(f"/v2/models/{NAME}/infer")
        expected = version.bundle.predict(version.matrix)
        np.testing.assert_allclose(service.predict(version.rows), expected, rtol=0, atol=1e-6)
    with pytest.raises(StackError, match="altered"):
        deploy(deployer, "2", broken(versions[1], tmp_path / "bundle"))
    assert the_service(deployer).uuid == service.uuid
    assert the_service(deployer).status.state.value == "active"
    again = deploy(deployer, "1", versions[0])
    assert again.uuid == service.uuid


def test_the_store_links_the_service_to_the_models_version(
    deployer: MLServerDeployer, versions: list[Version]
) -> None:
    from zenml.client import Client

    service = deploy(deployer, "2", versions[1])
    (response,) = Client().list_services(model_version_id=Client().get_model_version(NAME, 2).id).items
    assert response.id == service.uuid
    assert response.prediction_url == service.prediction_url
    assert response.health_check_url == service.healthcheck_url
    info = deployer.get_model_server_info(the_service(deployer))
    assert info["MODEL_VERSION"] == "2"
    assert info["PREDICTION_URL"] == service.prediction_url


def test_predict_takes_any_number_of_rows_and_order_of_columns(
    deployer: MLServerDeployer, versions: list[Version]
) -> None:
    service, version = deploy(deployer, "1", versions[0]), versions[0]
    many = version.rows.sample(12_000, replace=True, random_state=1)[reversed(version.rows.columns)]
    expected = version.bundle.predict(many[version.bundle.features].to_numpy(np.float32))
    np.testing.assert_allclose(service.predict(many), expected, rtol=0, atol=1e-6)
    assert service.predict(many.head(0)).shape == (0,)
    with pytest.raises(StackError, match="lacks the features hour, light"):
        service.predict(many.drop(columns=["hour", "light"]))
    with pytest.raises(StackError, match="Input 'light', row 0: 9"):
        service.predict(many.head(3).assign(light=9))


def test_zenmls_command_line_lists_stops_starts_and_deletes_it(
    deployer: MLServerDeployer, versions: list[Version]
) -> None:
    identity = str(deploy(deployer, "1", versions[0]).uuid)
    assert identity in zenml("list")
    described = zenml("describe", identity)
    assert NAME in described
    assert "MODEL_VERSION" in described
    assert "Loaded model" in zenml("logs", identity)
    zenml("stop", identity, "--yes")
    stopped = the_service(deployer)
    assert (stopped.status.state.value, stopped.prediction_url) == ("inactive", None)
    assert deployer.server.daemon() is None
    with pytest.raises(StackError, match="stopped"):
        stopped.predict(versions[0].rows)
    zenml("start", identity)
    assert the_service(deployer).status.state.value == "active"
    assert the_service(deployer).predict(versions[0].rows).shape == (len(versions[0].rows),)
    zenml("delete", identity, "--yes")
    assert deployer.find_model_server(model_name=NAME) == []
    assert deployer.server.daemon() is None


def test_killed_the_service_says_so_and_a_deployment_brings_it_back(
    deployer: MLServerDeployer, versions: list[Version]
) -> None:
    import psutil

    deploy(deployer, "1", versions[0])
    process = psutil.Process(daemon_of(deployer.server).pid)
    process.kill()
    psutil.wait_procs([process], 10)
    dead = the_service(deployer)
    assert dead.status.state.value == "inactive"
    assert "has ended" in dead.status.last_error
    assert deploy(deployer, "1", versions[0]).uuid == dead.uuid
    assert (the_service(deployer).status.state.value, the_service(deployer).status.last_error) == (
        "active",
        "",
    )
