"""The model server answers programs of this machine only, and its repository the deployer only."""

from __future__ import annotations

import json
import stat
import subprocess
from typing import Any

import httpx
import pytest

from serving.http_limits import HEADER_LIMIT
from stacks.components.mlserver.client import ModelServerClient
from stacks.components.mlserver.server import ModelServer
from stacks.errors import StackError
from tests.model_servers import NAME, Version, client_of, daemon_of, request

pytestmark = [pytest.mark.server, pytest.mark.slow]
INFER = f"/v2/models/{NAME}/infer"
ORDERS = (
    f"/v2/repository/models/{NAME}/unload",
    f"/v2/repository/models/{NAME}/load",
    "/v2/repository/index",
)
MEGABYTE = 1024 * 1024


def body_of(version: Version) -> str:
    return json.dumps(request(version.rows[version.bundle.features].head(1)))


@pytest.fixture(autouse=True)
def _serves_on(http: httpx.Client, version: Version) -> Any:
    """Whatever a test does, the model answers after it."""
    yield
    assert http.post(INFER, content=body_of(version)).status_code == 200


@pytest.mark.parametrize("path", [*ORDERS, *(order.replace("/v2/", "/v2%2F") for order in ORDERS)])
@pytest.mark.parametrize("token", [None, "", "Bearer", "Bearer x", "Basic x"])
def test_the_repository_is_closed_without_the_token(http: httpx.Client, path: str, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": token}
    answer = http.post(path, headers=headers, content="{}")
    assert answer.status_code == 401
    assert "run.py" in answer.json()["error"]


def test_the_token_opens_it_and_is_the_owners_alone(server: ModelServer) -> None:
    assert stat.S_IMODE(server.folder.token.stat().st_mode) == 0o600
    client_of(server).load(NAME)
    with pytest.raises(StackError, match="for the deployer alone"):
        ModelServerClient(int(client_of(server).url.rpartition(":")[2])).load(NAME)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8085"},
        {"Host": "localhost.evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_pages_and_names_of_elsewhere_are_refused_on_every_route(
    http: httpx.Client, server: ModelServer, version: Version, headers: dict[str, str]
) -> None:
    token = {"Authorization": f"Bearer {server.folder.token.read_text().strip()}"}
    for method, path in (
        ("POST", INFER), ("GET", f"/v2/models/{NAME}"), ("GET", f"/v2/models/{NAME}/ready"), ("GET", "/v2"),
        ("GET", "/v2/health/live"), ("GET", "/v2/docs"), *(("POST", order) for order in ORDERS),
    ):  # fmt: skip
        # As a page sends it: a simple request, with a type that asks for no preflight.
        simple = {"Content-Type": "text/plain", **token, **headers}
        answer = http.request(method, path, headers=simple, content=body_of(version))
        assert answer.status_code == 403, path
    daemon = server.daemon()
    assert daemon is not None
    metrics = f"http://127.0.0.1:{daemon.metrics_port}/metrics"
    assert httpx.get(metrics, headers=headers, trust_env=False).status_code == 403
    assert httpx.get(metrics, trust_env=False).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8085", "127.0.0.1", "[::1]:8085"])
def test_programs_of_this_machine_and_its_own_pages_are_answered(
    http: httpx.Client, version: Version, host: str
) -> None:
    own = {"Origin": f"http://{host.lower()}", "Sec-Fetch-Site": "same-origin"}
    for headers in ({"Host": host}, {"Host": host, **own}):
        assert http.post(INFER, headers=headers, content=body_of(version)).status_code == 200


def test_a_large_body_is_refused_whether_its_size_is_told_or_not(http: httpx.Client) -> None:
    large = b" " * (17 * MEGABYTE)
    for content in (large, iter([large[: 8 * MEGABYTE]] * 3)):
        assert http.post(INFER, content=content).status_code == 413
    assert http.post(INFER, content=b" " * MEGABYTE).status_code == 422  # taken, and found to be no JSON
    assert http.post(INFER, content=iter([b" " * MEGABYTE])).status_code == 422


def test_many_rows_still_fit(http: httpx.Client, version: Version) -> None:
    rows = version.rows[version.bundle.features].sample(10_000, replace=True, random_state=1)
    for content in (body := json.dumps(request(rows)), iter([body.encode()])):
        assert http.post(INFER, content=content).status_code == 200


def test_headers_have_an_end(http: httpx.Client) -> None:
    many = {f"x-{k}": "1" for k in range(101)}
    for headers in (many, {"x": "1" * (HEADER_LIMIT + 1)}):
        assert http.get("/v2/health/live", headers=headers).status_code == 431
    twice = [("Origin", f"http://127.0.0.1:{http.base_url.port}"), ("Origin", "http://evil.example")]
    assert http.get("/v2/health/live", headers=twice).status_code == 400


# In the server's own environment, which alone has gRPC.
GRPC = """
import json, sys
import grpc
from mlserver.grpc import dataplane_pb2 as pb, dataplane_pb2_grpc as stubs
from mlserver.grpc import model_repository_pb2 as old_pb, model_repository_pb2_grpc as old_stubs

port, name = json.loads(sys.argv[1])
channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_send_message_length", -1)])
stub, old = stubs.GRPCInferenceServiceStub(channel), old_stubs.ModelRepositoryServiceStub(channel)

def status(call, request, **more):
    try:
        call(request, **more)
        return "OK"
    except grpc.RpcError as error:
        return error.code().name

print(json.dumps({
    "index": status(stub.RepositoryIndex, pb.RepositoryIndexRequest()),
    "load": status(stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(model_name=name)),
    "unload": status(stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name=name)),
    "old index": status(old.RepositoryIndex, old_pb.RepositoryIndexRequest()),
    "old unload": status(old.RepositoryModelUnload, old_pb.RepositoryModelUnloadRequest(model_name=name)),
    "ready": status(stub.ModelReady, pb.ModelReadyRequest(name=name)),
    "large": status(stub.ModelInfer, pb.ModelInferRequest(model_name="x" * 17 * 2**20)),
    "small": status(stub.ModelInfer, pb.ModelInferRequest(model_name="x" * 2**10)),
    "headers": status(stub.ModelReady, pb.ModelReadyRequest(name=name), metadata=[("x", "1" * 100_000)]),
}))
"""


def test_over_grpc_nobody_opens_the_repository_and_messages_are_bounded(server: ModelServer) -> None:
    daemon = daemon_of(server)
    words = [daemon.python, "-c", GRPC, json.dumps([daemon.grpc_port, NAME])]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "index": "PERMISSION_DENIED",
        "load": "PERMISSION_DENIED",
        "unload": "PERMISSION_DENIED",
        "old index": "UNIMPLEMENTED",
        "old unload": "UNIMPLEMENTED",
        "ready": "OK",
        "large": "RESOURCE_EXHAUSTED",
        "small": "NOT_FOUND",
        "headers": "RESOURCE_EXHAUSTED",
    }
