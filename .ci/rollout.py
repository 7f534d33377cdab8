"""Put the images of dist/images.json, by digest, on the cluster of kubectl.

    .ci/rollout.py canary OVERLAY     one pod of the API beside those that serve, behind the same service
    .ci/rollout.py all OVERLAY        everything of kubernetes/overlays/OVERLAY; the canary goes
    .ci/rollout.py end                the canary goes, and nothing else changes

It waits until the pods are ready; those that serve stay until then.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "dist" / "images.json"
API, CANARY = "accidents-api", "accidents-api-canary"
PATIENCE = os.environ.get("ROLLOUT_SECONDS", "600")
# Also what a person's `kubectl apply` has set: of that the cluster refuses a new image.
AS_OURS = ("--server-side", "--force-conflicts", "--field-manager=road-accidents")
NAMESPACE = os.environ.get("KUBERNETES_NAMESPACE", "accidents")


def pinned(overlay: str, images: dict[str, str]) -> list[dict[str, Any]]:
    """Return an overlay's objects with our images by digest; end the program where one is left by name.

    An overlay may have renamed ours to where the registry has them, as overlays/example.yaml does.
    """
    text = _kubectl("kustomize", str(ROOT / "kubernetes" / "overlays" / overlay), captured=True)
    objects = [document for document in yaml.safe_load_all(text) if document]
    left = set()
    for container in _with_image(objects):
        repository = re.sub(r"(:[\w.-]+)?(@.*)?$", "", container["image"])  # without tag and digest
        name = repository.rpartition("/")[2]
        image = images.get(name, "")
        if image and repository in (f"road-accidents/{name}", image.partition("@")[0]):
            container["image"] = image
        elif name in images or repository.startswith("road-accidents/"):
            left.add(container["image"])
    if left:
        raise SystemExit(
            f"Error: dist/images.json has no digest of {', '.join(sorted(left))}: make find or make push, of "
            f"the registry that kubernetes/overlays/{overlay} names."
        )
    return objects


def _with_image(value: Any) -> Iterator[dict[str, Any]]:
    """Yield each container, wherever it is."""
    if isinstance(value, dict) and isinstance(value.get("image"), str):
        yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _with_image(inner)


def canary(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the canary: the API's deployment again, of one pod, with a label more."""
    (api,) = (each for each in objects if each["kind"] == "Deployment" and each["metadata"]["name"] == API)
    copy = json.loads(json.dumps(api))
    copy["metadata"]["name"] = CANARY
    copy["spec"]["replicas"] = 1
    for labels in (copy["spec"]["selector"]["matchLabels"], copy["spec"]["template"]["metadata"]["labels"]):
        labels["accidents/track"] = "canary"
    return [copy]


def roll_out(objects: list[dict[str, Any]], deployment: str) -> None:
    """Apply objects, and wait for a deployment of theirs."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump_all(objects, file)
        file.flush()
        _kubectl("apply", *AS_OURS, "--filename", file.name)
    _kubectl("rollout", "status", f"deployment/{deployment}", f"--timeout={PATIENCE}s")


def end() -> None:
    """Take the canary away, if there is one."""
    _kubectl("delete", f"deployment/{CANARY}", "--ignore-not-found")


def _kubectl(*words: str, captured: bool = False) -> str:
    begin = ["kubectl"] if words[0] == "kustomize" else ["kubectl", "--namespace", NAMESPACE]
    done = subprocess.run(
        [*begin, *words], stdout=subprocess.PIPE if captured else None, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"Error: kubectl {words[0]} failed; what it said is above.")
    return done.stdout or ""


def main(words: list[str]) -> None:
    """Do it; ends the program with what is wrong."""
    if words == ["end"]:
        return end()
    if len(words) != 2 or words[0] not in ("canary", "all"):
        raise SystemExit(__doc__)
    if not IMAGES.is_file():
        raise SystemExit("Error: there is no dist/images.json: make find REGISTRY=... RELEASE=...")
    objects = pinned(words[1], json.loads(IMAGES.read_text(encoding="utf-8")))
    if words[0] == "canary":
        return roll_out(canary(objects), CANARY)
    roll_out(objects, API)
    return end()


if __name__ == "__main__":
    main(sys.argv[1:])
