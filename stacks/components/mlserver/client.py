"""What is asked of a running model server: the V2 protocol and its repository extension, over HTTP."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from stacks.errors import StackError

TOLERANCE = 1e-6
_QUICK = 2.0  # seconds for a question that any server answers at once


class _Answer(NamedTuple):
    status: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class ModelServerClient:
    """Asks the model server on a port of this machine.

    Parameters
    ----------
    load_timeout : seconds that loading a model, or a request, may take.
    token : file with what lets models be loaded and unloaded; the server gets a new one at each start.
    """

    def __init__(self, port: int, load_timeout: float = 60, token: Path | None = None) -> None:
        self._host, self._port = "127.0.0.1", port
        self.url = f"http://{self._host}:{port}"
        self._load_timeout, self._token = load_timeout, token

    def is_live(self) -> bool:
        """Whether it answers."""
        try:
            return self._ask("GET", "/v2/health/live", timeout=_QUICK).status == 200
        except (OSError, HTTPException):
            return False

    def is_ready(self, name: str) -> bool | None:
        """Whether a model can be asked; None: no answer."""
        try:
            return self._ask("GET", f"/v2/models/{name}/ready", timeout=_QUICK).status == 200
        except (OSError, HTTPException):
            return None

    def metadata(self, name: str) -> dict[str, Any] | None:
        """Return what it says of a model, or None: not loaded, or no answer."""
        try:
            answer = self._ask("GET", f"/v2/models/{name}", timeout=_QUICK)
        except (OSError, HTTPException):
            return None
        return dict(answer.json()) if answer.status == 200 else None

    def load(self, name: str) -> None:
        """Load a model as its settings file says now; one that is loaded answers until then.

        Raises StackError with the server's reason.
        """
        self._order(f"/v2/repository/models/{name}/load", f"The model server could not load {name}")

    def unload(self, name: str) -> None:
        """Unload a model; that it is not loaded is no error."""
        try:
            answer = self._ask("POST", f"/v2/repository/models/{name}/unload")
        except (OSError, HTTPException) as error:
            raise StackError(f"The model server did not answer: {error}.") from error
        if answer.status not in (200, 404):
            raise StackError(f"The model server could not unload {name}: {_reason(answer)}")

    def infer(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a V2 request. Raises StackError with the server's reason."""
        return dict(self._order(f"/v2/models/{name}/infer", f"{name} refused a request", request).json())

    def predict(self, name: str, request: dict[str, Any]) -> list[float]:
        """Return the output p_severe of a V2 request."""
        return probabilities_of(self.infer(name, request))

    def check(self, name: str, golden: dict[str, Any], version: str, digest: str) -> None:
        """Raise StackError unless the model gives the golden answers and is this version of this bundle."""
        require_golden(name, self.infer(name, golden["request"]), golden, version, digest)

    def _order(self, path: str, failure: str, body: dict[str, Any] | None = None) -> _Answer:
        try:
            answer = self._ask("POST", path, body)
        except (OSError, HTTPException) as error:
            raise StackError(f"{failure}: no answer from {self.url} ({error}).") from error
        if answer.status != 200:
            raise StackError(f"{failure}: {_reason(answer)}")
        return answer

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, timeout: float | None = None
    ) -> _Answer:
        connection = HTTPConnection(self._host, self._port, timeout=timeout or self._load_timeout)
        try:
            headers = {"Content-Type": "application/json"}
            if self._token is not None:
                headers["Authorization"] = f"Bearer {self._token.read_text(encoding='utf-8').strip()}"
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return _Answer(answer.status, answer.read().decode("utf-8", errors="replace"))
        finally:
            connection.close()


def require_golden(
    name: str, answer: dict[str, Any], golden: dict[str, Any], version: str, digest: str
) -> None:
    """Raise StackError unless an answer to the golden request is right, and of this version and bundle."""
    got, expected = probabilities_of(answer), golden["p_severe"]
    served = answer.get("model_version"), answer.get("parameters", {}).get("digest")
    if served != (version, digest):
        raise StackError(f"{name} answers as version {served[0]} instead of {version}.")
    if len(got) != len(expected):
        raise StackError(f"{name} gives {len(got)} probabilities for {len(expected)} golden accidents.")
    worst = max((abs(a - b) for a, b in zip(got, expected, strict=True)), default=0.0)
    if not worst <= TOLERANCE:
        raise StackError(
            f"{name} version {version} does not give the golden probabilities: off by {worst:.2g}, "
            f"more than {TOLERANCE:g}. The bundle and the serving code do not fit: train again."
        )


def probabilities_of(answer: dict[str, Any]) -> list[float]:
    """Return the output p_severe of a V2 answer."""
    return next(list(output["data"]) for output in answer["outputs"] if output["name"] == "p_severe")


def _reason(answer: _Answer) -> str:
    try:
        content = answer.json()
    except ValueError:
        return f"{answer.status} {answer.text[:500]}"
    return str(content.get("error") or content) if isinstance(content, dict) else str(content)
