"""Every adapter keeps the promises of `Endpoint`: the same tests over our deployer and ZenML's own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx
import numpy as np
import pytest

from accidents.bundle.golden import Golden, make_golden
from accidents.rollout.traffic_split import Role
from stacks.apply import apply_stack
from stacks.definition import read_stack
from stacks.endpoints import (
    BundleReference,
    DeploymentError,
    Endpoint,
    Endpoints,
    State,
    active_endpoints,
    deployed_endpoint,
)
from steps.support.tracking import log_model
from tests.model_servers import (
    NAME,
    Version,
    broken,
    copy_code,
    make_version,
    microservice_settings,
    settings,
)
from tests.processes import kill_all_of, processes_of
from tests.stacks.conftest import write_stack

pytestmark = [pytest.mark.server, pytest.mark.slow]


@dataclass(frozen=True)
class Deployer:
    """The endpoints of a stack, and its two versions of a model."""

    endpoints: Endpoints
    versions: tuple[Version, Version]
    speaks_v2: bool
    has_trials: bool
    folder: Path  # that its servers work in, or are started with
    end: Callable[[], None]

    @property
    def endpoint(self) -> Endpoint:
        """That of the model, as a command would look it up."""
        return self.endpoints.endpoint(NAME)

    def deploy(self, number: int, golden: Golden | None = None) -> None:
        """Serve a version; its golden requests are its own unless others are given."""
        bundle = self.versions[number - 1].bundle
        reference = BundleReference(NAME, str(number), bundle.digest, str(bundle.folder), str(number))
        self.endpoint.deploy(reference, golden or self.golden(number))

    def serve(self, number: int) -> None:
        """Deploy a version, unless it alone serves."""
        served = [(version.version, version.state) for version in self.endpoint.versions()]
        if served != [(str(number), State.healthy)]:
            self.deploy(number)

    def try_out(self, number: int, role: Role, share: int) -> None:
        """Serve a version on trial beside the one that serves."""
        bundle = self.versions[number - 1].bundle
        reference = BundleReference(NAME, str(number), bundle.digest, str(bundle.folder), str(number))
        self.endpoint.try_out(reference, self.golden(number), role, share)

    def golden(self, number: int) -> Golden:
        """Twenty accidents and what the version says of them."""
        version = self.versions[number - 1]
        features = version.rows[version.bundle.features].head(20)
        return Golden(features, version.bundle.predict(features.to_numpy(np.float32)))


@pytest.fixture(scope="module", params=["mlserver", "mlflow", "bentoml", "seldon"])
def deployer(
    request: pytest.FixtureRequest, zenml_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployer]:
    versions = tuple(make_version(tmp_path_factory.mktemp("version"), seed) for seed in (3, 4))
    makers = {
        "mlserver": with_mlserver, "mlflow": with_mlflow, "bentoml": with_bentoml, "seldon": with_seldon
    }  # fmt: skip
    found = makers[request.param](versions, tmp_path_factory)
    try:
        yield found
    finally:
        found.end()


def with_mlserver(
    versions: tuple[Version, Version], folders: pytest.TempPathFactory, **changes: object
) -> Deployer:
    """Ours: as a process, unless the changes of its settings name an image."""
    server, changes = folders.mktemp("server"), {"restarts": 0, **changes}
    config = settings(server, copy_code(folders.mktemp("code")), **changes).model_dump(mode="json")
    folder = write_stack(
        folders.mktemp("stacks"), "ours", model_deployer={"flavor": "mlserver", "config": config}
    )
    apply_stack("ours", folder=folder)
    return Deployer(active_endpoints(), versions, True, True, server, lambda: kill_all_of(server))


def with_mlflow(versions: tuple[Version, Version], folders: pytest.TempPathFactory) -> Deployer:
    from zenml.client import Client

    apply_stack("local-mlflow")
    Client().active_stack.experiment_tracker.configure_mlflow()  # type: ignore[union-attr]
    for version in versions:
        _register(version, folders.mktemp("mlflow").as_uri())
    folder = Path(Client().active_stack.model_deployer.local_path)  # type: ignore[union-attr]
    return Deployer(active_endpoints(), versions, False, False, folder, _end_mlflow)


def with_bentoml(versions: tuple[Version, Version], folders: pytest.TempPathFactory) -> Deployer:
    home = folders.mktemp("bento")
    config = {"flavor": "bentoml", "config": {"service_path": str(home)}}
    apply_stack("bentos", folder=write_stack(folders.mktemp("stacks"), "bentos", model_deployer=config))
    return Deployer(active_endpoints(), versions, True, True, home, lambda: kill_all_of(home))


def with_seldon(versions: tuple[Version, Version], folders: pytest.TempPathFactory) -> Deployer:
    """Seldon's own server on this machine."""
    folder = folders.mktemp("seldon")
    config = {"flavor": "seldon_core", "config": microservice_settings(folder)}
    apply_stack("seldon", folder=write_stack(folders.mktemp("stacks"), "seldon", model_deployer=config))
    return Deployer(active_endpoints(), versions, False, False, folder, lambda: kill_all_of(folder))


def _register(version: Version, files: str) -> None:
    """Log and register a model as training does; its number in the registry is that of the version."""
    import mlflow

    # Without an experiment of its own MLflow would keep the files in ./mlruns.
    with mlflow.start_run(experiment_id=mlflow.create_experiment(files, artifact_location=files)):
        mlflow.register_model(log_model(version.bundle)[1], NAME)


def _end_mlflow() -> None:
    """End every server with all its children, which `mlflow models serve` leaves behind."""
    from zenml.client import Client

    deployer = Client().active_stack.model_deployer
    assert deployer is not None
    for service in deployer.find_model_server():
        if service.SERVICE_TYPE.flavor != deployer.flavor:
            continue  # ZenML's deployers find those of other flavors too
        process = getattr(service.status, "pid", None)
        deployer.delete_model_server(service.uuid, force=True)
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)


@contextmanager
def asked_all_the_time(deployer: Deployer) -> Iterator[list[str]]:
    """What goes wrong with requests at the V2 address, where there is one, each on its own connection."""
    failures: list[str] = []
    address, over = deployer.endpoint.v2_address(), threading.Event()

    def ask() -> None:
        url = f"{address}/v2/models/{NAME}"
        while not over.wait(0.01):
            try:
                answer = httpx.get(url, timeout=20, trust_env=False, verify=False)  # no TLS context each
                answer.raise_for_status()
            except httpx.HTTPError as error:
                failures.append(repr(error))

    asking = threading.Thread(target=ask)
    if address:
        asking.start()
    try:
        yield failures
    finally:
        over.set()
        if address:
            asking.join()


def test_what_was_never_deployed_is_stopped_and_says_so(deployer: Deployer) -> None:
    endpoint = deployer.endpoints.endpoint("another")
    assert "another" not in deployer.endpoints.names()
    assert endpoint.versions() == ()
    assert deployed_endpoint("another") is None
    assert (endpoint.state().state, endpoint.state().url) == (State.stopped, None)
    assert endpoint.v2_address() is None
    with pytest.raises(DeploymentError, match="not served"):
        endpoint.predict(deployer.versions[0].rows.head(2))
    endpoint.stop()  # no error


def test_a_version_serves_and_another_takes_its_place(deployer: Deployer) -> None:
    for number in (1, 2):
        with asked_all_the_time(deployer) as failures:
            deployer.deploy(number)
        assert failures == []
        (served,) = deployer.endpoint.versions()
        assert (served.version, served.role, served.share) == (str(number), "champion", 100)
        assert (served.state, served.reason) == (State.healthy, "")
        version = deployer.versions[number - 1]
        assert served.digest in (None, version.bundle.digest)
        answered = deployer.endpoint.predict(version.rows[version.bundle.features].head(200))
        np.testing.assert_allclose(
            answered, version.bundle.predict(version.matrix[:200]), rtol=0, atol=1e-6
        )  # fmt: skip
    assert deployer.endpoints.names() == [NAME]
    assert deployed_endpoint(NAME) is not None
    state = deployer.endpoint.state()
    assert (state.state, state.reason) == (State.healthy, "")
    assert state.url is not None
    address = deployer.endpoint.v2_address()
    assert state.url.startswith(address) if address else not deployer.speaks_v2


def test_a_version_is_on_trial_beside_it_or_refused_in_words(deployer: Deployer) -> None:
    assert bool(deployer.endpoint.no_trials) is not deployer.has_trials
    if not deployer.has_trials:
        with pytest.raises(DeploymentError, match="one version at a time"):
            deployer.try_out(1, "challenger", 10)
        assert deployer.endpoint.end_trials() == ()
        return
    deployer.serve(2)
    with asked_all_the_time(deployer) as failures:
        for role, share in (("shadow", 0), ("challenger", 30)):
            deployer.try_out(1, cast(Role, role), share)
            champion, trial = deployer.endpoint.versions()
            assert (champion.version, champion.role, champion.share) == ("2", "champion", 100 - share)
            assert (trial.version, trial.role, trial.share, trial.state) == ("1", role, share, State.healthy)
            version = deployer.versions[0]
            answered = deployer.endpoint.predict(version.rows[version.bundle.features].head(20), trial.role)
            np.testing.assert_allclose(
                answered, version.bundle.predict(version.matrix[:20]), rtol=0, atol=1e-6
            )
        assert deployer.endpoints.names() == [NAME], "a trial is no model of its own"
        assert [trial.version for trial in deployer.endpoint.end_trials()] == ["1"]
    assert failures == []
    assert [version.version for version in deployer.endpoint.versions()] == ["2"]


def test_one_that_does_not_give_the_golden_answers_is_refused_and_the_old_one_serves(
    deployer: Deployer,
) -> None:
    deployer.serve(2)
    golden = deployer.golden(1)
    with pytest.raises(DeploymentError, match="golden"):
        deployer.deploy(1, Golden(golden.features, golden.p_severe + 0.01))
    (served,) = deployer.endpoint.versions()
    assert (served.version, served.state) == ("2", State.healthy)
    features = make_golden(deployer.versions[1].bundle, 5).features
    expected = deployer.versions[1].bundle.predict(features.to_numpy(np.float32))
    np.testing.assert_allclose(deployer.endpoint.predict(features), expected, rtol=0, atol=1e-6)


class Interrupted(Golden):
    """Golden requests whose answers come as somebody presses Ctrl-C."""

    def check(self, served: object, where: str) -> float:
        raise KeyboardInterrupt


def test_a_deployment_that_is_interrupted_leaves_the_old_one_and_no_server(deployer: Deployer) -> None:
    if deployer.endpoints.flavor not in ("mlflow", "bentoml"):
        return  # whose golden requests are files to it
    deployer.serve(2)
    before = {process.pid for process in processes_of(deployer.folder)}
    golden = deployer.golden(1)
    with pytest.raises(KeyboardInterrupt):
        deployer.deploy(1, Interrupted(golden.features, golden.p_severe))
    (served,) = deployer.endpoint.versions()
    assert (served.version, served.state) == ("2", State.healthy)
    assert {process.pid for process in processes_of(deployer.folder)} == before


def test_a_damaged_bundle_is_refused_and_the_old_one_serves(deployer: Deployer, tmp_path: Path) -> None:
    if deployer.endpoints.flavor == "mlflow":
        return  # MLflow serves what its registry has, not the bundle
    deployer.serve(2)
    bundle = broken(deployer.versions[0], tmp_path / "broken").bundle
    reference = BundleReference(NAME, "1", deployer.versions[0].bundle.digest, str(bundle.folder), "1")
    with pytest.raises(DeploymentError, match=r"trees\.txt"):
        deployer.endpoint.deploy(reference, deployer.golden(1))
    (served,) = deployer.endpoint.versions()
    assert (served.version, served.state) == ("2", State.healthy)


def test_what_is_stopped_stays_known_and_comes_back_with_a_deployment(deployer: Deployer) -> None:
    deployer.serve(2)
    deployer.endpoint.stop()
    (served,) = deployer.endpoint.versions()
    assert (served.version, served.state) == ("2", State.stopped)
    state = deployer.endpoint.state()
    assert (state.state, state.url, state.reason) == (State.stopped, None, served.reason)
    assert deployer.endpoint.v2_address() is None
    with pytest.raises(DeploymentError):
        deployer.endpoint.predict(deployer.golden(2).features)
    deployer.deploy(2)
    assert deployer.endpoint.state().state == State.healthy


@pytest.mark.parametrize(
    ("stack", "flavor"),
    [("local-mlflow", "mlflow"), ("local-bento", "bentoml"), ("local-seldon", "seldon_core")],
)
def test_the_stacks_of_other_deployers_are_local_but_for_that(stack: str, flavor: str) -> None:
    ours, theirs = read_stack("local"), read_stack(stack)
    assert ours.components["model_deployer"].flavor == "mlserver"
    assert theirs.components["model_deployer"].flavor == flavor
    for kind in ours.components.keys() - {"model_deployer"}:
        assert ours.component_name(kind) == theirs.component_name(kind)
        assert ours.components[kind].config == theirs.components[kind].config
