"""What kustomize makes of kubernetes/, and what is in it.

No folder of tests may have that name: what has tests/ on its path would import it for the library.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

OVERLAYS = ("dev", "prod", "kind", "dask")
NAME = "app.kubernetes.io/name"
KUBECTL = str(Path(sys.executable).with_name("kubectl"))


def kustomize(overlay: str) -> str:
    command = [KUBECTL, "kustomize", str(ROOT / "kubernetes" / "overlays" / overlay)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in documents if each["kind"] == kind]


def deployed(documents: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the pod of a Deployment."""
    (found,) = [each for each in of_kind(documents, "Deployment") if each["metadata"]["name"] == name]
    return dict(found["spec"]["template"]["spec"])


def pods(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    deployments = [each["spec"]["template"]["spec"] for each in of_kind(documents, "Deployment")]
    jobs = [each["spec"]["jobTemplate"]["spec"]["template"]["spec"] for each in of_kind(documents, "CronJob")]
    return [*deployments, *jobs]


def with_component(overlay: str, component: str, folder: Path) -> list[dict[str, Any]]:
    (folder / "base").symlink_to(ROOT / "kubernetes")
    (folder / "kustomization.yaml").write_text(
        f"resources: [base/overlays/{overlay}]\ncomponents: [base/components/{component}]\n", encoding="utf-8"
    )
    return list(yaml.safe_load_all(built(folder)))


def built(folder: Path) -> str:
    command = [KUBECTL, "kustomize", "--load-restrictor=LoadRestrictionsNone", str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
