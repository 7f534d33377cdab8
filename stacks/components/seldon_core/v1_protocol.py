"""Seldon's v1 protocol, asked as V2 is: requests and answers are those of V2 on this side."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from typing import Any

from stacks.components.mlserver.ports import HOST
from stacks.errors import StackError

PREDICTIONS, STATUS = "/api/v1.0/predictions", "/health/status"
_METADATA = "/api/v1.0/metadata"
_QUICK = 2.0  # seconds for a question that any server answers at once


class NoAnswerError(StackError):
    """Nothing answers."""


class V1Client:
    """Asks Seldon's server on a port of this machine.

    Parameters
    ----------
    timeout : seconds that a prediction may take.
    """

    def __init__(self, port: int, timeout: float) -> None:
        self.url = f"http://{HOST}:{port}"
        self._port, self._timeout = port, timeout

    def is_ready(self) -> bool:
        """Whether its model is loaded."""
        try:
            return self._ask("GET", STATUS, timeout=_QUICK)[0] == 200
        except NoAnswerError:
            return False

    def metadata(self) -> dict[str, Any] | None:
        """Return what it says of its model, as V2 has it; None: no answer."""
        try:
            status, metadata = self._ask("GET", _METADATA, timeout=_QUICK)
            names = metadata["inputs"][0]["schema"]["names"] if status == 200 else None
        except (NoAnswerError, KeyError, IndexError, TypeError):
            return None
        if names is None:
            return None
        inputs = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in names]
        return {**metadata, "inputs": inputs, "parameters": metadata.get("custom", {})}

    def infer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a V2 request with one tensor. Raises StackError with the server's reason."""
        status, answer = self._ask("POST", PREDICTIONS, _message(request))
        if status != 200:
            raise StackError(f"The server at {self.url} refused a request: {_reason(status, answer)}")
        try:
            return _v2_answer(answer)
        except (KeyError, TypeError, ValueError) as error:
            raise StackError(f"The server at {self.url} speaks another protocol: {error!r}.") from error

    def _ask(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> tuple[int, Any]:
        connection = HTTPConnection(HOST, self._port, timeout=timeout or self._timeout)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except ValueError as error:
            raise StackError(f"The server at {self.url} speaks another protocol: {error}.") from error
        except (OSError, HTTPException) as error:
            raise NoAnswerError(f"No answer from {self.url} ({error}).") from error
        finally:
            connection.close()


def _message(request: dict[str, Any]) -> dict[str, Any]:
    (tensor,) = request["inputs"]
    width = tensor["shape"][1]
    rows = [tensor["data"][k : k + width] for k in range(0, len(tensor["data"]), width)]
    return {"data": {"names": tensor["parameters"]["columns"], "ndarray": rows}}


def _v2_answer(answer: dict[str, Any]) -> dict[str, Any]:
    tags, data = answer["meta"]["tags"], answer["data"]
    column = data["names"].index("p_severe")
    return {
        "model_version": tags.get("version"),
        "parameters": tags,
        "outputs": [{"name": "p_severe", "data": [row[column] for row in data["ndarray"]]}],
    }


def _reason(status: int, answer: Any) -> str:
    try:
        return str(answer["status"]["info"])
    except (KeyError, TypeError):
        return f"{status} {str(answer)[:500]}"
