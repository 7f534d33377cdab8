"""`make canary` and `make rollout` apply to what somebody has installed before.

With a whole release: tests/containers/test_release.py; on a real cluster: tests/cluster/test_manifests.py.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT
from tests.workflows import jobs

# As the cluster does with fields that `kubectl apply` of a person, without --server-side, has set.
KUBECTL = """#!/bin/bash
case "$*" in
  *" apply "*--force-conflicts*) cp "${@: -1}" "$APPLIED" ;;
  *" apply "*) echo 'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply"' >&2; exit 1 ;;
esac
"""


def rollout() -> ModuleType:
    """Return .ci/rollout.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("rollout", ROOT / ".ci" / "rollout.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_release_takes_over_what_another_manager_has_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL, encoding="utf-8")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("APPLIED", str(tmp_path / "applied"))
    rollout().roll_out([{"kind": "Deployment"}], "accidents-api")
    assert (tmp_path / "applied").read_text(encoding="utf-8") == "kind: Deployment\n"


def test_the_page_installs_as_a_release_does() -> None:
    """What one manager has set, and leaves out, goes; what another one has set stays."""
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    installed = re.findall(r"kubectl apply (.*) --kustomize", page)
    assert installed
    assert set(installed) == {" ".join(rollout().AS_OURS)}


@pytest.mark.parametrize(("variable", "applied"), [("", "prod"), ("mine", "mine")])
def test_both_workflows_apply_the_overlay_of_the_repository(variable: str, applied: str) -> None:
    """Of another one the API's host and the registry's login would be gone: it is applied by force."""
    changing = [job for job in jobs.jobs() if "make rollout" in {step.run for step in job.steps}]
    assert [job.workflow for job in changing] == ["release", "rollback"]
    for job in changing:
        assert jobs.filled(job.env["OVERLAY"], {"vars.PRODUCTION_OVERLAY": variable}) == applied
        made = subprocess.run(
            ["make", "-n", "canary", "rollout"], cwd=ROOT, env={**os.environ, "OVERLAY": applied},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert re.findall(r"rollout\.py \w+ (\S+)", made) == [applied, applied]


RELEASED = "registry.test:5000/owner/name"


@pytest.fixture
def overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """.ci/rollout.py beside an overlay `mine`: the example, of production and of the registry of releases."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "kubernetes"
    shutil.copytree(ROOT / "kubernetes", folder)
    text = (folder / "overlays" / "example.yaml").read_text(encoding="utf-8")
    (folder / "overlays" / "mine").mkdir()
    (folder / "overlays" / "mine" / "kustomization.yaml").write_text(
        text.replace("../dev", "../prod").replace("REGISTRY", RELEASED), encoding="utf-8"
    )
    module = rollout()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


@pytest.mark.parametrize("name", ["mine", "prod"])
def test_the_images_of_an_overlay_are_those_of_the_release(overlay: ModuleType, name: str) -> None:
    """Also where it names the registry that they are in: a tag may be moved."""
    images = {image: f"{RELEASED}/{image}@sha256:{image}" for image in ("api", "pipelines", "seldon")}
    found = {one["image"] for one in overlay._with_image(overlay.pinned(name, images))}
    assert {image for image in found if "pushgateway" not in image} == {images["api"], images["pipelines"]}


def test_a_digest_that_an_overlay_names_is_replaced_too(overlay: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "kubernetes" / "overlays" / "mine" / "kustomization.yaml"
    text, named = re.subn(
        r"(newName: [^,}]+)", rf"\1, digest: sha256:{'0' * 64}", file.read_text(encoding="utf-8")
    )
    assert named == 2
    file.write_text(text, encoding="utf-8")
    images = {image: f"{RELEASED}/{image}@sha256:{image}" for image in ("api", "pipelines")}
    found = {one["image"] for one in overlay._with_image(overlay.pinned("mine", images))}
    assert {image for image in found if "pushgateway" not in image} == set(images.values())


@pytest.mark.parametrize(
    ("images", "left"),
    [
        ({"api": f"{RELEASED}/api@sha256:1"}, "road-accidents/pipelines"),
        ({name: f"elsewhere.test/{name}@sha256:1" for name in ("api", "pipelines")}, f"{RELEASED}/api"),
    ],
    ids=["not found", "of another registry"],
)
def test_an_image_without_a_digest_is_not_applied(
    overlay: ModuleType, images: dict[str, str], left: str
) -> None:
    name = "prod" if left.startswith("road-accidents") else "mine"
    with pytest.raises(SystemExit, match=f"no digest of {re.escape(left)}:.* kubernetes/overlays/{name} "):
        overlay.pinned(name, images)
