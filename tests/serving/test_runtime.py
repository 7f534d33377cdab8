"""What our MLServer does beyond the contract of V2 (test_v2_contract.py): gRPC, counting, its own routes."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import httpx
import numpy as np
import pytest

from stacks.components.mlserver.server import ModelServer
from tests.model_servers import NAME, Version, daemon_of, request
from tests.serving.conftest import INFER, answered

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_what_is_answered_is_counted(http: httpx.Client, server: ModelServer, version: Version) -> None:
    """Before the answer leaves; MLServer's own route counts after it."""
    body = request(version.rows[version.bundle.features].head(1))
    before = counted(server, 404)
    for _ in range(2):
        assert http.post(INFER.replace(NAME, "nobody"), json=body).status_code == 404
    assert counted(server, 404) == before + 2


def counted(server: ModelServer, status: int) -> float:
    """Requests to infer that MLServer's REST server counted under a status."""
    daemon = daemon_of(server)
    text = httpx.get(f"http://127.0.0.1:{daemon.metrics_port}/metrics", trust_env=False).text
    names = ("rest_server_requests_total{", '/infer"', f'status_code="{status}"')
    lines = [line for line in text.splitlines() if all(name in line for name in names)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (INFER, {"id": "mine"}),
        (INFER, {"outputs": [{"name": "p_severe"}, {"name": "contributions"}]}),
        (INFER, {"parameters": {"missing": "nan"}, "outputs": []}),
        (INFER, {"outputs": [{"name": "label"}]}),
        (INFER.replace(NAME, "nobody"), {"id": "mine"}),
        (INFER.replace("/infer", "/versions/9/infer"), {"id": "mine"}),
    ],
)
def test_a_prediction_is_answered_as_mlserver_itself_does(
    http: httpx.Client, version: Version, path: str, change: dict[str, Any]
) -> None:
    """MLServer's own route takes other kinds of JSON, which ours leaves to it. What is no request is answered
    otherwise: as V2 has it, not as FastAPI does."""
    body = json.dumps(request(version.rows[version.bundle.features].head(2)) | change)
    kinds = ("application/json; charset=utf-8", "application/vnd.v2+json")
    ours, own = (http.post(path, content=body, headers={"content-type": kind}) for kind in kinds)
    assert ours.status_code == own.status_code
    assert ours.headers.keys() == own.headers.keys()
    if "id" not in change and ours.is_success:  # each gets one of its own
        assert ours.json().pop("id") != own.json().pop("id")
    assert {**ours.json(), "id": 0} == {**own.json(), "id": 0}


GRPC = """
import json, struct, sys
import grpc
from mlserver.grpc import dataplane_pb2 as pb, dataplane_pb2_grpc as stubs

port, name, features, rows, outputs, missing, raw = json.loads(sys.argv[1])
channel = grpc.insecure_channel(f"127.0.0.1:{port}")
ask = stubs.GRPCInferenceServiceStub(channel)
meta = ask.ModelMetadata(pb.ModelMetadataRequest(name=name))
request = pb.ModelInferRequest(model_name=name)
tensor = request.inputs.add(name="features", datatype="FP32", shape=[len(rows), len(features)])
values = [float("nan") if v is None else v for row in rows for v in row]
if raw:
    request.raw_input_contents.append(struct.pack(f"<{len(values)}f", *values))
else:
    tensor.contents.fp32_contents.extend(values)
tensor.parameters["columns"].string_param = json.dumps(features)
if missing:
    request.parameters["missing"].string_param = "nan"
for output in outputs:
    request.outputs.add(name=output)
try:
    answer = ask.ModelInfer(request)
except grpc.RpcError as error:
    print(json.dumps({"code": error.code().name, "said": error.details()}))
else:
    data = [list(one.contents.fp64_contents) for one in answer.outputs]
    if raw:
        data = [struct.unpack(f"<{len(one) // 8}d", one) for one in answer.raw_output_contents]
    print(json.dumps({
        "version": answer.model_version, "digest": answer.parameters["digest"].string_param,
        "metadata": {"versions": list(meta.versions), "inputs": [one.name for one in meta.inputs]},
        "outputs": {one.name: some for one, some in zip(answer.outputs, data)},
    }))
"""


def over_grpc(
    server: ModelServer, version: Version, outputs: list[str], missing: bool, raw: bool = False
) -> dict[str, Any]:
    """Ask in the server's environment, which has the stubs."""
    daemon = daemon_of(server)
    rows = [[None if v != v else v for v in row] for row in version.matrix[:3].tolist()]
    argument = json.dumps([daemon.grpc_port, NAME, version.bundle.features, rows, outputs, missing, raw])
    done = subprocess.run([daemon.python, "-c", GRPC, argument], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("raw", [False, True])
def test_grpc_gives_the_same(server: ModelServer, version: Version, raw: bool) -> None:
    answer = over_grpc(server, version, ["p_severe", "contributions"], missing=True, raw=raw)
    assert (answer["version"], answer["digest"]) == ("7", version.bundle.digest)
    assert answer["metadata"] == {"versions": ["7"], "inputs": version.bundle.features}
    matrix = version.matrix[:3]
    np.testing.assert_allclose(answer["outputs"]["p_severe"], version.bundle.predict(matrix), atol=1e-12)
    shap = np.reshape(answer["outputs"]["contributions"], (3, -1))
    np.testing.assert_allclose(shap, version.bundle.model.contributions(matrix), atol=1e-9)


def test_grpc_refuses_nan_unless_it_is_said_to_be_missing(server: ModelServer, version: Version) -> None:
    answer = over_grpc(server, version, [], missing=False)
    assert answer["code"] == "INVALID_ARGUMENT"
    assert "row 0" in answer["said"]
    assert "nan is out of the range of FP32" in answer["said"]


def test_the_log_has_no_line_a_request(server: ModelServer, http: httpx.Client, version: Version) -> None:
    before = server.folder.log.stat().st_size, server.folder.output.stat().st_size
    for _ in range(20):
        answered(http, request(version.rows[version.bundle.features].head(1)))
        assert http.post(INFER, json={"inputs": []}).status_code == 400
    assert (server.folder.log.stat().st_size, server.folder.output.stat().st_size) == before


def test_metrics_are_counted(server: ModelServer, http: httpx.Client, version: Version) -> None:
    answered(http, request(version.rows[version.bundle.features].head(1)))
    daemon = daemon_of(server)
    said = httpx.get(f"http://127.0.0.1:{daemon.metrics_port}/metrics", trust_env=False).text
    assert f'model_infer_request_success_total{{model="{NAME}"' in said
