"""What a pull request changes in the cluster's manifests is told, overlay by overlay."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.workflows import jobs
from tests.workflows.clone import git, stamps_fit


def overlay(folder: Path, name: str, quota: str) -> None:
    place = folder / "kubernetes" / "overlays" / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "kustomization.yaml").write_text("resources: [quota.yaml]\n", encoding="utf-8")
    content = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: all}\nspec: {hard: {pods: '%s'}}\n"
    (place / "quota.yaml").write_text(content % quota, encoding="utf-8")


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose last commit changes one overlay, leaves one, and adds one."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    git(tmp_path, "init", "--quiet")
    for name in ("dev", "prod"):
        overlay(tmp_path, name, "60")
    commit(tmp_path)
    overlay(tmp_path, "prod", "90")
    overlay(tmp_path, "kind", "10")
    commit(tmp_path)
    return tmp_path


def told(project: Path, base: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, project / ".ci" / "manifests.py", base, "HEAD", "reports/manifests.md"]
    return subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)


def test_each_overlay_says_what_changes(project: Path) -> None:
    done = told(project, "HEAD~1")
    assert done.returncode == 0, done.stderr
    text = (project / "reports" / "manifests.md").read_text(encoding="utf-8")
    dev, kind, prod = text.split("Overlay ")[1:]
    assert dev.startswith("`dev`: nothing changes.")
    assert kind.startswith("<code>kind</code>: 7 lines added, 0 removed")
    assert prod.startswith("<code>prod</code>: 1 lines added, 1 removed")
    assert '\n-    pods: "60"\n+    pods: "90"\n' in prod


def test_a_revision_that_is_not_here_and_an_overlay_that_does_not_render_are_told(project: Path) -> None:
    assert "git knows no revision 'nowhere'" in told(project, "nowhere").stderr
    (project / "kubernetes" / "overlays" / "dev" / "quota.yaml").unlink()
    commit(project)
    assert "overlays/dev ended with 1" in told(project, "HEAD~1").stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_workflow_has_it_on_the_page_of_its_run(project: Path) -> None:
    for name in (
        "Makefile",
        "stacks/cache_folder.py",
        *(f"requirements/{one}.txt" for one in ("uv", "train", "dev")),
    ):
        (project / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    (project / ".venv").symlink_to(sys.prefix)
    stamps_fit(project)
    base = {"github.event.pull_request.base.sha": git(project, "rev-parse", "HEAD~1")}
    ran = jobs.run(jobs.job("manifests", "manifests"), project, base, {}, {})
    assert ran.well
    assert "Overlay <code>prod</code>: 1 lines added, 1 removed" in ran.summary
