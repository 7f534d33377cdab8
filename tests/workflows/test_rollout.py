"""`make canary` and `make rollout` apply to what somebody has installed before.

With a whole release: tests/containers/test_release.py; on a real cluster: tests/cluster/test_manifests.py.
"""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT

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
