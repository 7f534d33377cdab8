"""`make train` installs no client of Kubernetes: a stack of one machine needs none, others say what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stacks import flavors
from stacks.errors import StackError
from tests.zenml_store import ROOT, isolated_environment

CLUSTER = {
    "KUBERNETES_CONTEXT": "x", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b", "S3_ENDPOINT": "http://127.0.0.1:9",
    "MLFLOW_SERVER": "http://127.0.0.1:9", "MLFLOW_PASSWORD": "p",
}  # fmt: skip
WITHOUT = """
import importlib.metadata as metadata, runpy, sys
from_name = metadata.Distribution.from_name
def refuse(name):
    if name == "kubernetes":
        raise metadata.PackageNotFoundError(name)
    return from_name(name)
metadata.Distribution.from_name = refuse
class NoKubernetes:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("kubernetes."):  # of `kubernetes` itself Python finds a folder of ours
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name == "kubernetes":
            sys.modules[name] = type(sys)(name)
            sys.modules[name].__path__ = []
            return None
sys.meta_path.insert(0, NoKubernetes())
sys.argv = ["run.py", *sys.argv[1:]]
runpy.run_path("run.py", run_name="__main__")
"""


@pytest.mark.slow
def test_a_stack_of_one_machine_needs_no_client_of_kubernetes(tmp_path: Path) -> None:
    done = run(tmp_path, "stack", "apply", "bare")
    assert done.returncode == 0, done.stderr
    assert "registered flavor mlserver" in done.stdout
    assert "kubernetes_image" not in done.stdout


@pytest.mark.slow
def test_seldons_server_on_this_machine_needs_none(tmp_path: Path) -> None:
    done = run(tmp_path, "stack", "apply", "local-seldon")
    assert done.returncode == 0, done.stderr
    assert "created model_deployer local-seldon_seldon_core" in done.stdout
    checked = run(tmp_path, "stack", "check", "local-seldon")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "Seldon's server runs on this machine" in checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("config", [{"runtime": "deployment"}, {}])
def test_the_same_deployer_on_a_cluster_says_what_to_install(
    config: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from stacks.components.seldon_core.flavor import SeldonCoreDeployerFlavor

    monkeypatch.setattr(flavors, "is_installed", lambda package: package != "kubernetes")
    with pytest.raises(StackError, match=r"'seldon_core' needs a package .*'kubernetes'.*make staging"):
        flavors.require_integration(SeldonCoreDeployerFlavor(), "model_deployer", config)
    flavors.require_integration(SeldonCoreDeployerFlavor(), "model_deployer", {"runtime": "microservice"})


@pytest.mark.slow
def test_a_stack_on_a_cluster_says_what_to_install(tmp_path: Path) -> None:
    done = run(tmp_path, "stack", "apply", "kubernetes-plain")
    assert done.returncode == 1
    assert "flavor 'kubernetes_image' needs a package that is not installed" in done.stderr
    assert "make staging" in done.stderr


def run(store: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *words],
        cwd=ROOT,
        env=isolated_environment(store) | CLUSTER,
        capture_output=True,
        text=True,
        check=False,
    )
