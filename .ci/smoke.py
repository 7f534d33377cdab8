"""Does an API that was just rolled out answer? By `make smoke URL=...` it is asked.

    .ci/smoke.py URL [VERSION]
    .ci/smoke.py deployment/NAME [VERSION]

Ready, of this version, the example predicted; refused without a key, where ACCIDENTS_API_KEY holds one.
Python alone is enough.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

EXAMPLE = Path(__file__).resolve().parent.parent / "references" / "accident.json"
PATIENCE = float(os.environ.get("SMOKE_SECONDS", "120"))  # until it is ready
NAMESPACE = os.environ.get("KUBERNETES_NAMESPACE", "accidents")
REMEDIES = {
    401: "ACCIDENTS_API_KEY must hold a key of it",
    404: "`docs: key` in its configs/api.yaml shows it to who has a key, `docs: closed` to nobody",
}


class SmokeError(Exception):
    """What is not as it should be."""


def check(url: str, version: str, key: str) -> Iterator[str]:
    """Tell what is well, one after the other. Raises SmokeError at the first that is not."""
    ready = _until_ready(url)
    yield f"ready, model version {ready['model']['version']}"
    actual = _version(url, key)
    if version and actual != version:
        raise SmokeError(f"{url} is version {actual}, not {version}")
    yield f"API version {actual}"
    accident = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    status, answer = _ask(f"{url}/predict", accident, key)
    if status != 200 or not 0 < answer.get("probability", -1) < 1:
        raise SmokeError(f"{url}/predict answers {status}: {json.dumps(answer)[:300]}")
    yield f"predicts {answer['probability']:.3f}, {answer['band']}"
    if key:
        status, _ = _ask(f"{url}/predict", accident)
        if status != 401:
            raise SmokeError(f"{url}/predict answers {status} without a key, not 401")
        yield "refuses who has no key"


def _until_ready(url: str) -> dict[str, Any]:
    end, last = time.monotonic() + PATIENCE, "nothing"
    while time.monotonic() < end:
        try:
            status, answer = _ask(f"{url}/health/ready")
            if status == 200 and "model" in answer:
                return answer
            last = f"{status}: {' '.join(answer.get('reasons', ['no answer of our API']))}"
        except (OSError, http.client.HTTPException) as error:
            last = str(error)
        time.sleep(1)
    raise SmokeError(f"{url} is not ready after {PATIENCE:.0f} s: {last}")


def _version(url: str, key: str) -> str:
    status, answer = _ask(f"{url}/openapi.json", key=key)
    if "info" in answer:
        return str(answer["info"]["version"])
    remedy = REMEDIES.get(status, "is it the address of the API?")
    raise SmokeError(f"{url}/openapi.json, which tells the version, answers {status}: {remedy}")


def _ask(url: str, body: Any = None, key: str = "") -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, _read(answer)
    except urllib.error.HTTPError as error:
        return error.code, _read(error)


def _read(answer: IO[bytes]) -> dict[str, Any]:
    """Return the JSON of an answer; of anything else, such as a proxy's page, nothing."""
    try:
        content = json.load(answer)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def _reached(target: str) -> Iterator[str]:
    """Yield the address of a URL, or of a deployment's port, which kubectl forwards."""
    if "://" in target:
        yield target.rstrip("/")
        return
    words = ["kubectl", "--namespace", NAMESPACE, "port-forward", target, ":8000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as forward:
        try:
            line = forward.stdout.readline() if forward.stdout else ""
            port = re.search(r"127\.0\.0\.1:(\d+)", line)
            if not port:
                raise SmokeError(
                    f"kubectl does not forward a port of {target}: {line.strip() or 'see above'}"
                )
            yield f"http://127.0.0.1:{port[1]}"
        finally:
            forward.terminate()


def main(words: list[str]) -> int:
    """Print what is well; 1 and what is not otherwise."""
    if len(words) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with _reached(words[0]) as url:
            for line in check(url, "".join(words[1:]), os.environ.get("ACCIDENTS_API_KEY", "")):
                print(f"{words[0]}: {line}", flush=True)
    except (SmokeError, OSError, http.client.HTTPException) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
