"""The images of Dockerfile and serving/Dockerfile: what is in them; they serve under a read-only root."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from accidents.__about__ import __version__
from benchmarks.containers import base_of
from benchmarks.project_copy import copy_project
from stacks.container_engine import container_engine
from tests import model_servers
from tests.conftest import ROOT
from tests.containers.engine import (
    LOCKED_DOWN,
    address,
    ask,
    container,
    docker,
    inspect,
    network,
    run,
    volume,
    wait_until_healthy,
)
from tests.containers.platform_files import model_repository

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1200)]

BUDGETS = {"pipelines": 1_200, "api": 250, "model-server": 600, "seldon": 600}  # MB
# Every library that strip was let at, loaded. Two of numba's thread pools want libraries that a system may
# lack: without them numba takes its own.
LOAD_ALL = """
import ctypes, os, pathlib, sysconfig
failed = []
for path in pathlib.Path(sysconfig.get_path("purelib")).rglob("*.so*"):
    if path.parent.name.endswith(".libs"):
        continue  # as they came: NumPy 1's find one another only from the modules beside them
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        if not str(error).startswith(("libtbb.so.12: cannot open", "libgomp.so.1.0.0: cannot open")):
            failed.append(str(error))
print(*failed, sep="\\n", flush=True)
os._exit(0)  # that many in one process do not end in order
"""

CANARY = "canary-4be07d"
# Where a person's copy holds secrets: the platform's passwords, keys of the API and of who calls it, logins.
SECRETS = (
    ".env", ".serving/keys.json", ".serving/zenml.key", ".zenml/local_stores/default_zen_store/zenml.db",
    ".zenml/credentials.yaml", ".dvc/config.local", "observability/hook-key", "observability/metrics-key",
    ".airflow/airflow.cfg", ".git/config", "data/sources/login", "references/.env",
)  # fmt: skip

each_image = pytest.mark.parametrize("name", BUDGETS)


@each_image
def test_it_is_within_its_budget(images: dict[str, str], name: str) -> None:
    assert inspect("image", images[name])["Size"] / 1e6 <= BUDGETS[name]


@each_image
def test_it_runs_as_a_user_without_rights_and_without_compilers(images: dict[str, str], name: str) -> None:
    compilers = "for one in cc gcc g++ clang ld strip make uv; do command -v $one; done"
    caches = "find / -xdev -name .cache -o -path '/var/lib/apt/lists/*Packages*' 2>/dev/null"
    assert run(images[name], "sh", "-c", f"id -u; {compilers}; {caches}; true") == "10001"


@each_image
def test_it_says_what_it_was_made_from(images: dict[str, str], name: str) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    labels = inspect("image", images[name])["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.revision"] == commit


@each_image
def test_every_library_loads_without_its_symbols(images: dict[str, str], name: str) -> None:
    assert run(images[name], "python", "-c", LOAD_ALL) == ""


@each_image
def test_it_holds_files_of_the_repository_and_no_others(images: dict[str, str], name: str) -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = run(images[name], "find", "/app", "-type", "f", "-not", "-name", "*.pyc", "-printf", "%P\n")
    assert set(found.splitlines()) - set(tracked) == set()


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "serving/Dockerfile"])
def test_no_secret_of_the_folder_that_it_is_built_in_gets_into_a_layer(
    base_image: str, tmp_path: Path, dockerfile: str
) -> None:
    folder = copy_project(tmp_path / "a project")
    for name in ("Dockerfile", "pyproject.toml", ".dockerignore", "serving/Dockerfile"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    for name in SECRETS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(CANARY)
    (folder / "accidents" / "planted.py").write_text(f"# {CANARY}")  # which the search finds
    image, saved = "road-accidents/canary:test", tmp_path / "saved.tar"
    told = ("--build-arg", f"BASE_IMAGE={base_image}", "--target", "code", "--tag", image)
    docker("build", *told, "--file", str(folder / dockerfile), str(folder), timeout=900)
    try:
        docker("save", "--output", str(saved), image)
    finally:
        docker("image", "rm", image)
    found = {name.rpartition("app/")[2] for name, content in files_in(saved) if CANARY.encode() in content}
    assert found == {"accidents/planted.py"}


def files_in(saved: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of every layer of an image, and what is said of it."""
    with tarfile.open(saved) as image:
        for member in image:
            if not member.isfile():
                continue
            content = image.extractfile(member)
            if not tarfile.is_tarfile(content):  # type: ignore[arg-type]
                content.seek(0)  # type: ignore[union-attr]
                yield member.name, content.read()  # type: ignore[union-attr]
                continue
            content.seek(0)  # type: ignore[union-attr]
            with tarfile.open(fileobj=content) as layer:
                for each in filter(tarfile.TarInfo.isfile, layer):
                    yield each.name, layer.extractfile(each).read()  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["api", "model-server"])  # pipelines: two minutes more, by the same means
def test_the_same_input_gives_the_same_layers(images: dict[str, str], base_image: str, name: str) -> None:
    again = f"road-accidents/{name}:again"
    told = (
        "--build-arg",
        f"BASE_IMAGE={base_image}",
        "--file",
        str(ROOT / "serving" / "Dockerfile"),
        "--target",
        name,
    )
    docker("build", "--no-cache", *told, "--tag", again, str(ROOT), timeout=1100)
    try:
        assert inspect("image", again)["RootFS"] == inspect("image", images[name])["RootFS"]
    finally:
        docker("image", "rm", again)


@each_image
def test_the_base_that_sizes_are_told_with_is_the_one_it_was_built_on(
    images: dict[str, str], base_image: str, name: str
) -> None:
    with container_engine() as engine:
        base = base_of(engine, images[name])
        assert base is not None
        assert base_image in base.tags
        assert base_of(engine, base_image) is None


def test_the_pipelines_start_under_a_read_only_root(images: dict[str, str]) -> None:
    with volume() as state:
        kept = (*LOCKED_DOWN, "--volume", f"{state}:/state")
        said = run(images["pipelines"], "python", "run.py", "stack", "list", options=kept)
    assert "local" in said


@dataclass(frozen=True)
class Platform:
    """A model server and the API in front of it, each in its container."""

    api: str
    model_server: str
    key: str
    version: model_servers.Version


@pytest.fixture(scope="module")
def platform(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("models")
    version = model_repository(folder)
    with (
        network() as net,
        volume() as state,
        container(
            images["model-server"], *LOCKED_DOWN, "--network", net, "--network-alias", "model-server",
            "--publish", "127.0.0.1::8085", "--volume", f"{folder}:/models:ro",
            environment={"MODEL_SERVER_HOSTS": "model-server"},
        ) as model_server,
    ):  # fmt: skip
        kept = (*LOCKED_DOWN, "--volume", f"{state}:/state")
        script = ("python", "-m", "serving.api.operations.provide_keys", ".serving", "caller")
        run(images["api"], *script, options=kept)
        key = run(images["api"], "cat", ".serving/caller", options=kept)
        wait_until_healthy(model_server)
        with container(
            images["api"], *kept, "--network", net, "--publish", "127.0.0.1::8000",
            environment={"ACCIDENTS_MODEL_SERVER": "http://model-server:8085"},
        ) as api:  # fmt: skip
            wait_until_healthy(api)
            yield Platform(address(api, 8000), address(model_server, 8085), key, version)


def test_the_model_server_gives_the_probabilities_of_the_bundle(platform: Platform) -> None:
    rows = platform.version.rows.head(50)
    url = f"{platform.model_server}/v2/models/{model_servers.NAME}/infer"
    answer = ask(url, model_servers.request(rows[platform.version.bundle.features]))
    assert answer["model_version"] == "7"
    expected = platform.version.bundle.predict(platform.version.matrix[:50])
    np.testing.assert_allclose(answer["outputs"][0]["data"], expected, rtol=0, atol=1e-6)


def test_the_api_predicts_through_the_model_server(platform: Platform) -> None:
    accident = json.loads((ROOT / "references" / "accident.json").read_text(encoding="utf-8"))
    answer = ask(f"{platform.api}/predict", accident, platform.key)
    assert 0 < answer["probability"] < 1
    assert answer["model"]["version"] == "7"
    assert ask(f"{platform.api}/health/ready")["ready"] is True


def test_nobody_loads_models_into_the_container(platform: Platform) -> None:
    with pytest.raises(OSError, match="401"):
        ask(f"{platform.model_server}/v2/repository/index", {})


def test_it_stops_in_time_when_told_to(images: dict[str, str]) -> None:
    with container(images["model-server"], *LOCKED_DOWN, "--tmpfs", "/models") as name:
        wait_until_healthy(name)
        docker("stop", "--time", "20", name)
        assert inspect("container", name)["State"]["ExitCode"] in (0, 143)
