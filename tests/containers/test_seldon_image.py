"""The image of Seldon's own server: it serves a bundle under a read-only root, as a unit of a graph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.containers.engine import LOCKED_DOWN, address, ask, container, docker, inspect, wait_until_healthy
from tests.model_servers import make_version

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1200)]


def test_it_answers_over_the_v1_protocol_and_ends_in_time(images: dict[str, str], tmp_path: Path) -> None:
    version = make_version(tmp_path, 3)
    unit = {"digest": version.bundle.digest, "version": "7"}
    parameters = [{"name": name, "value": value, "type": "STRING"} for name, value in unit.items()]
    with container(
        images["seldon"], *LOCKED_DOWN, "--volume", f"{version.bundle.folder}:/mnt/models:ro",
        "--publish", "127.0.0.1::9000", environment={"PREDICTIVE_UNIT_PARAMETERS": json.dumps(parameters)},
    ) as name:  # fmt: skip
        wait_until_healthy(name)
        features = version.rows[version.bundle.features].head(20).to_numpy(np.float64)
        values = np.where(np.isnan(features), None, features).tolist()
        message = {"data": {"names": version.bundle.features, "ndarray": values}}
        answer = ask(f"{address(name, 9000)}/api/v1.0/predictions", message)
        got = np.array(answer["data"]["ndarray"])[:, 0]
        np.testing.assert_allclose(got, version.bundle.predict(version.matrix[:20]), rtol=0, atol=1e-6)
        assert answer["meta"]["tags"]["version"] == "7"
        docker("stop", "--time", "20", name)
        assert inspect("container", name)["State"]["ExitCode"] in (0, 143)
