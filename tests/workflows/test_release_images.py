"""What is attested is what is promoted and released: tags of a registry may be put elsewhere in between."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from accidents.__about__ import __version__
from tests.conftest import ROOT
from tests.workflows import jobs
from tests.workflows.clone import git

STAND_INS = ROOT / "tests" / "workflows" / "stand_ins"
TAG, RELEASE = "commit", f"v{__version__}"
BUILT, OTHER = b'{"made": "by images.yml"}', b'{"made": "by somebody else"}'
BUT = {
    'echo "$REGISTRY_PASSWORD" | docker login "${REGISTRY%%/*}" --username "$REGISTRY_USER" --password-stdin':
    "nothing wants a login here",
    "make attested": "only GitHub knows",
    "make end": "there is no cluster",
}  # fmt: skip


@dataclass
class Registry:
    """The manifest of each tag of the one image, and a folder with what a checkout has."""

    host: str
    clone: Path
    tags: dict[str, bytes] = field(default_factory=lambda: {TAG: BUILT})

    def run(self, name: str, attested: str = "") -> jobs.Ran:
        context = {
            "github.repository": "owner/name", "github.actor": "a", "github.token": "", "github.sha": TAG,
            "github.ref_name": RELEASE, "github.workspace": str(self.clone), "secrets.KUBECONFIG": "a: b",
            "needs.promote.outputs.digests": attested, "vars.PRODUCTION_OVERLAY": "",
        }  # fmt: skip
        return jobs.run(jobs.job("release", name), self.clone, context, {"IMAGES": "api"}, BUT)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    for name in ("Makefile", "accidents/__about__.py", "stacks/cache_folder.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / ".git").mkdir()
    filled = jobs.filled
    with _served(made := Registry("", tmp_path)):
        monkeypatch.setattr(
            jobs, "filled", lambda text, known: filled(text, known).replace("ghcr.io/", f"{made.host}/")
        )
        yield made


@contextmanager
def _served(registry: Registry) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = registry.tags.get(self.path.rpartition("/")[2])
            self._answer(404 if content is None else 200, content or b"")

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            registry.tags[self.path.rpartition("/")[2]] = content
            self._answer(201, b"")

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        registry.host = f"127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def test_the_digests_that_were_attested_are_promoted_and_handed_on(registry: Registry) -> None:
    promoted = registry.run("promote")
    assert promoted.well
    assert registry.tags[RELEASE] == BUILT
    assert json.loads(promoted.outputs["digests"]) == {"api": f"sha256:{hashlib.sha256(BUILT).hexdigest()}"}
    assert registry.run("promote").well, "the workflow may run again"


@pytest.mark.parametrize("named", [False, True], ids=["checked out", "named"])
def test_it_is_asked_for_images_of_one_commit_of_main_by_the_one_workflow(
    registry: Registry, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any other workflow of the repository, and any branch, can have an image attested as well."""
    clone, images = (
        registry.clone,
        {"api": "registry.test/api@sha256:1", "seldon": "registry.test/seldon@sha256:2"},
    )
    (clone / "dist").mkdir()
    (clone / "dist" / "images.json").write_text(json.dumps(images), encoding="utf-8")
    monkeypatch.setenv("PATH", f"{STAND_INS}{os.pathsep}{os.environ['PATH']}")
    for name, value in {"GH_TOKEN": "a", "GITHUB_REPOSITORY": "o/n", "ATTESTED": str(clone / "said")}.items():
        monkeypatch.setenv(name, value)
    words = ["make", "attested", *([f"COMMIT={'a' * 40}"] if named else [])]
    if not named:
        assert subprocess.run(words, cwd=clone, check=False).returncode, "of no commit at all"
        shutil.rmtree(clone / ".git")
        git(clone, "init", "--quiet")
        git(clone, "commit", "--quiet", "--allow-empty", "--message", "a")
    subprocess.run(words, cwd=clone, check=True)
    commit = "a" * 40 if named else git(clone, "rev-parse", "HEAD")
    assert (clone / "said").read_text().splitlines() == [
        f"oci://{image} of o/n at {commit}" for image in images.values()
    ]


def test_a_tag_that_was_put_elsewhere_after_promotion_does_not_go_to_production(registry: Registry) -> None:
    attested = registry.run("promote").outputs["digests"]
    registry.tags[RELEASE] = OTHER
    failed = registry.run("production", attested)
    assert not failed.well
    found = 'make find REGISTRY="$REGISTRY" RELEASE="$RELEASE"'
    assert "find out who has put the tag there" in failed.said[found]
    assert "make canary" not in failed.said


def test_a_release_that_stands_on_other_images_is_refused(registry: Registry) -> None:
    registry.tags[RELEASE] = OTHER
    failed = registry.run("promote")
    assert not failed.well
    assert "what is released stays. Raise the version." in "".join(failed.said.values())
    assert registry.tags[RELEASE] == OTHER
