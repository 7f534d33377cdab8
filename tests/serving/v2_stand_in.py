"""A small V2 server for what a good model server does not do: be slow, fail, refuse, change under a caller.

Its model is a formula, so that a test can tell which row an answer belongs to.
"""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from accidents.features import feature_names

NAME = "accident-severity-dispatch"


@dataclass
class StandIn:
    """What it answers, to be changed by a test; and what it was asked."""

    address: str = ""
    stage: str = "dispatch"
    version: str = "1"
    digest: str = "a" * 64
    threshold: float = 0.5
    status: int = 200
    refusal: str = "no"  # "": an answer without a word, as MLServer's to /ready
    delay: float = 0.0
    answer: bytes | None = None
    outputs: tuple[str, ...] = ("p_severe", "contributions", "questions")
    rows: list[int] = field(default_factory=list)  # of each infer call
    calls: int = 0
    routes: str | None = None  # what its metadata tell of versions on trial
    beside: dict[str, StandIn] = field(default_factory=dict)  # those, by the name of their model

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "threshold": self.threshold,
            "bands": json.dumps({"low": 0.0, "moderate": 0.2, "high": 0.4, "very high": 0.6}),
            "budget": 0.2,
            "digest": self.digest,
            "synthetic": True,
        }

    def metadata(self) -> dict[str, Any]:
        inputs = [{"name": name, "datatype": "FP32", "shape": [-1]} for name in feature_names(self.stage)]
        outputs = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in self.outputs]
        routes = {} if self.routes is None else {"routes": self.routes}
        return {
            "name": NAME, "versions": [self.version], "inputs": inputs, "outputs": outputs,
            "parameters": self.facts | routes,
        }  # fmt: skip

    def infer(self, request: dict[str, Any]) -> dict[str, Any]:
        (tensor,) = request["inputs"]
        rows, width = tensor["shape"]
        columns = tensor["parameters"]["columns"]
        assert width == len(columns)
        if sorted(columns) != sorted(feature_names(self.stage)):
            return {"error": "Missing: some features."}
        limit = columns.index("speed_limit")
        limits = [tensor["data"][row * width + limit] for row in range(rows)]
        self.rows.append(rows)
        if not {one["name"] for one in request["outputs"]} <= set(self.outputs):
            return {"error": "Output is unknown."}
        outputs = [{"name": "p_severe", "data": [probability(one) for one in limits]}]
        if {"name": "contributions"} in request["outputs"]:
            data = [float(k) for _ in range(rows) for k in (1, 2, 3)]
            table = {"name": "contributions", "shape": [rows, 3], "data": data}
            outputs.append(table | {"parameters": {"columns": ["speed_limit", "latitude"]}})
        if {"name": "questions"} in request["outputs"]:
            data = [value for one in limits for value in (0.01, 0.0 if one else 0.25)]
            table = {"name": "questions", "shape": [rows, 2], "data": data}
            outputs.append(table | {"parameters": {"columns": ["weather", "speed_limit"]}})
        return {
            "model_name": NAME, "model_version": self.version, "parameters": self.facts, "outputs": outputs
        }  # fmt: skip


def probability(speed_limit: float | None) -> float:
    """The stand-in's model."""
    return 1 / (1 + math.exp(-(speed_limit or 0) / 50 + 1))


@contextmanager
def stand_in(port: int = 0) -> Iterator[StandIn]:
    """A running one, on a free port."""
    model = StandIn()
    connections: list[socket.socket] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = self._asked()
            self._answer(asked, {} if self.path.endswith("/ready") else asked.metadata())

        def do_POST(self) -> None:
            asked, body = self._asked(), self.rfile.read(int(self.headers["Content-Length"]))
            asked.calls += 1
            time.sleep(asked.delay)
            self._answer(asked, asked.infer(json.loads(body)) if asked.status == 200 else {})

        def _asked(self) -> StandIn:
            return model.beside.get(self.path.split("/")[3], model)

        def _answer(self, model: StandIn, content: dict[str, Any]) -> None:
            good = model.status == 200
            refusal = json.dumps({"error": model.refusal}).encode() if model.refusal else b""
            body = json.dumps(content).encode() if good else refusal
            body = body if model.answer is None else model.answer
            self.send_response(400 if "error" in content else model.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> tuple[Any, Any]:
            connection, address = super().get_request()
            connections.append(connection)
            return connection, address

        def handle_error(self, *_: object) -> None:
            """Callers that went away are part of the tests."""

    server = Server(("127.0.0.1", port), Handler)
    model.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()
