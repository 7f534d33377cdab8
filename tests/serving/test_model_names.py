"""The names of a model in a pod, asked of the model server with what the pod is told."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stacks.components.mlserver.folder import PROGRAM, write_json
from stacks.components.mlserver.ports import HOST, PORTS, choose_ports
from stacks.components.mlserver.server import ModelServer
from stacks.components.mlserver.server_runner import server_settings, wait_until_live
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.model_pod import pod_spec
from stacks.components.seldon_core.settings import SeldonCoreSettings
from stacks.mlserver_layout import model_settings
from tests.model_servers import NAME, Version, daemon_of, request
from tests.serving.conftest import client_at

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def challenger(version: Version, server: ModelServer, tmp_path: Path) -> Iterator[httpx.Client]:
    """What serves in the pod of a challenger, version 8."""
    champion, digest = ServedBundle("7", "7" * 64, "s3://bucket/7"), version.bundle.digest
    beside = ServedBundle("8", digest, "s3://bucket/8", "challenger", 10)
    served = Served(NAME, champion).with_beside(beside)
    (container,) = pod_spec(served, beside, SeldonCoreSettings())["containers"]
    model = served.model(beside)
    content = model_settings(model, version.bundle.folder, beside.version, digest, None)
    write_json(tmp_path / model / "model-settings.json", content)
    ports = choose_ports(dict.fromkeys(PORTS, 0))
    log = {"class": "logging.StreamHandler"}
    write_json(tmp_path / "settings.json", server_settings(ports, HOST, log, load_at_start=True))
    daemon, said = daemon_of(server), tmp_path / "output.log"
    environment = {each["name"]: each["value"] for each in container["env"]}
    with said.open("wb") as output, client_at(f"http://{HOST}:{ports['http_port']}") as http:
        process = subprocess.Popen(
            [daemon.python, "-m", PROGRAM, str(tmp_path)],
            cwd=tmp_path,
            env=server.folder.variables(daemon.code) | environment,
            stdout=output,
            stderr=output,
        )
        try:
            wait_until_live(ports["http_port"], 60, process.poll, said.read_text, str(said))
            end = time.monotonic() + 60
            while http.get(f"/v2/models/{model}/ready").status_code != 200:
                assert time.monotonic() < end, said.read_text()
                time.sleep(0.1)
            yield http
        finally:
            process.terminate()
            process.wait(30)


def test_a_version_on_trial_answers_to_its_champions_name_too(
    challenger: httpx.Client, version: Version
) -> None:
    """A mesh that reads Seldon's `traffic` leads a share of the callers of that name to it."""
    body = request(version.rows[version.bundle.features].head(2))
    for name in (NAME, f"{NAME}-challenger"):
        assert challenger.get(f"/v2/models/{name}/ready").status_code == 200
        answer = challenger.post(f"/v2/models/{name}/infer", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model_version"] == "8"
    assert challenger.post("/v2/models/another/infer", json=body).status_code == 404
