"""A release and back: the workflows' own steps, in order, in a clean clone.

Stand-ins: for the registry a real one on loopback, for the cluster containers of what the registry has by
digest, for GitHub's attestations a script that writes down what is asked. It is the API that is released.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from accidents.__about__ import __version__
from tests.conftest import ROOT
from tests.containers.engine import LOCKED_DOWN, container, docker, inspect, run, wait_until_healthy
from tests.containers.platform_files import model_repository
from tests.workflows import jobs
from tests.workflows.clone import clean_clone, edit, git, stamps_fit
from tests.workflows.local_registry import Registry, running_registry

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1200)]

STAND_INS = ROOT / "tests" / "workflows" / "stand_ins"
# Steps that are not run here, each with the reason.
BUT = {
    "make audit AUDIT=--required": "`.ci/run` runs it on every lock",
    'make scan TAG="$TAG"': "Trivy's image and its database cannot be had where no registry is reached",
    "make staging": "the environment is the one that the tests run in",
}
NEXT = "99.0.0"  # a version after this one
WRONG = "v99.0.1"  # a tag on the images of another version


@dataclass
class Production:
    """A clone, a registry and a cluster, and what runs there."""

    clone: Path
    registry: Registry
    cluster: str
    environment: dict[str, str]
    context: dict[str, str]

    def run(self, workflow: str, name: str, **context: str) -> jobs.Ran:
        told = {**self.context, "github.sha": git(self.clone, "rev-parse", "HEAD"),
                **{key.replace("_", ".", 1): value for key, value in context.items()}}  # fmt: skip
        return jobs.run(jobs.job(workflow, name), self.clone, told, self.environment, BUT)

    def released(self, version: str) -> dict[str, str]:
        """Build the images of the clone's commit, tag and release it; the digests that were built."""
        built = self.run("images", "push")
        assert built.well
        assert self.run("images", "attest").well
        git(self.clone, "tag", f"v{version}")
        promoted = self.run("release", "promote", github_ref_name=f"v{version}")
        assert promoted.well
        assert promoted.outputs["digests"] == built.outputs["digests"]
        assert self.in_production(f"v{version}", promoted.outputs["digests"]).well
        return dict(json.loads(built.outputs["digests"]))

    def in_production(self, tag: str, attested: str) -> jobs.Ran:
        """Run the job that puts a tag there, if it is of what was attested."""
        told = {"needs.promote.outputs.digests": attested}
        return self.run("release", "production", github_ref_name=tag, **told)

    def serving(self, deployment: str = "accidents-api") -> list[str]:
        """The images of what runs, by digest."""
        found = docker("ps", "--quiet", "--filter", f"label={self.cluster}={deployment}").split()
        return [inspect("container", one)["Config"]["Image"].rpartition("@")[2] for one in found]


@pytest.fixture(scope="module")
def production(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    folder = tmp_path_factory.mktemp("release")
    clone, cluster = clean_clone(folder / "clone"), f"accidents-test-{uuid.uuid4().hex[:6]}"
    # Of our images the API is pushed and rolled out: the pipelines', a gigabyte, would take minutes more.
    edit(clone, "kubernetes/base/kustomization.yaml", ("  - monitor.yaml\n", ""))
    git(clone, "commit", "--quiet", "--all", "--message", "without the pipelines")
    commit, models = git(clone, "rev-parse", "HEAD"), folder / "models"
    models.mkdir()
    model_repository(models)
    (folder / "registry").mkdir()
    with running_registry(folder / "registry") as registry:
        environment = {
            "PATH": f"{STAND_INS}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "REAL_KUBECTL": str(Path(sys.executable).with_name("kubectl")),
            "DOCKER_CONFIG": str(folder / "docker"), "DOCKER_BUILDKIT": "0", "BASE_IMAGE": base_image,
            "IMAGES": "api", "CLUSTER": cluster, "ATTESTED": str(folder / "attested"),
            "GITHUB_REPOSITORY": "owner/road-accidents", "SMOKE_SECONDS": "60", "ROLLOUT_SECONDS": "60",
        }  # fmt: skip
        context = {
            "github.repository": "owner/road-accidents", "github.actor": registry.login["REGISTRY_USER"],
            "github.token": registry.password, "github.workspace": str(clone), "secrets.KUBECONFIG": "a: b",
            "vars.PRODUCTION_OVERLAY": "", "vars.PRODUCTION_STACK": "",
        }  # fmt: skip
        made = Production(clone, registry, cluster, environment, context)
        docker("network", "create", cluster)
        docker("volume", "create", cluster)
        try:
            subprocess.run(
                ["make", "images", f"TAG={commit}"], cwd=clone, env={**os.environ, **environment}, check=True
            )
            kept = (*LOCKED_DOWN, "--volume", f"{cluster}:/state")
            script = ("python", "-m", "serving.api.operations.provide_keys", ".serving", "caller")
            run(f"road-accidents/api:{commit}", *script, options=kept)
            key = run(f"road-accidents/api:{commit}", "cat", ".serving/caller", options=kept)
            context["secrets.ACCIDENTS_API_KEY"] = key
            with container(
                f"road-accidents/model-server:{commit}", *LOCKED_DOWN, "--network", cluster,
                "--network-alias", "model-server", "--volume", f"{models}:/models:ro",
                environment={"MODEL_SERVER_HOSTS": "model-server"},
            ) as model_server:  # fmt: skip
                wait_until_healthy(model_server)
                yield made
        finally:
            for one in docker("ps", "--all", "--quiet", "--filter", f"label={cluster}").split():
                docker("rm", "--force", one)
            docker("network", "rm", cluster)
            docker("volume", "rm", cluster)


def test_a_release_from_tag_to_production_and_back(
    production: Production, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "filled", _with_registry(production.registry.host))
    commit = git(production.clone, "rev-parse", "HEAD")
    first = production.released(__version__)
    assert production.serving() == [first["api"]]
    assert production.serving("accidents-api-canary") == []
    bill = json.loads((production.clone / "dist" / "api.cdx.json").read_text())
    assert {"pkg:pypi/fastapi", "pkg:deb/debian/libc6"} <= {
        part["purl"].partition("@")[0] for part in bill["components"]
    }
    attested = Path(production.environment["ATTESTED"]).read_text()
    assert attested.endswith(f"/api@{first['api']} of owner/road-accidents at {commit}\n")

    edit(production.clone, "accidents/__about__.py", (__version__, NEXT))
    git(production.clone, "commit", "--quiet", "--all", "--message", "the next version")
    second = production.released(NEXT)
    assert second != first
    assert production.serving() == [second["api"]]

    # A tag on images of another version: the canary is found out and goes, and what served serves on.
    words = ["make", "promote", f"REGISTRY={production.registry.host}/owner/road-accidents", f"TAG=v{NEXT}",
             f"RELEASE={WRONG}"]  # fmt: skip
    there = {**os.environ, **production.environment, **production.registry.login}
    subprocess.run(words, cwd=production.clone, env=there, check=True)
    failed = production.in_production(WRONG, json.dumps(second))
    assert not failed.well
    assert f"is version {NEXT}, not 99.0.1" in "".join(failed.said.values())
    assert production.serving() == [second["api"]]
    assert production.serving("accidents-api-canary") == []

    # A tag that was put on other images than those attested goes nowhere.
    failed = production.in_production(f"v{NEXT}", json.dumps(first))
    assert not failed.well
    assert "find out who has put the tag there" in "".join(failed.said.values())
    assert production.serving() == [second["api"]]

    git(production.clone, "checkout", "--quiet", f"v{__version__}")
    stamps_fit(production.clone)
    back = {"inputs_what": "images", "inputs_release": f"v{__version__}", "inputs_stage": "dispatch"}
    production.environment["ATTESTED"] = "/dev/full"  # the stand-in says that nobody attested it
    assert not production.run("rollback", "rollback", **back).well
    assert production.serving() == [second["api"]]
    production.environment["ATTESTED"] = str(tmp_path / "attested")
    assert production.run("rollback", "rollback", **back).well
    assert production.serving() == [first["api"]]
    assert f"api@{first['api']} of owner/road-accidents at {commit}\n" in (tmp_path / "attested").read_text()
    assert not (production.clone / ".kube" / "config").exists()


@pytest.mark.parametrize(
    ("release", "password", "said"),
    [("v0.0.1", "", "has no"), (f"v{__version__}", "wrong", "are REGISTRY_USER and")],
)
def test_what_the_registry_does_not_give_is_told(
    production: Production, release: str, password: str, said: str
) -> None:
    login = production.registry.login | ({"REGISTRY_PASSWORD": password} if password else {})
    done = subprocess.run(
        ["make", "find", f"REGISTRY={production.registry.host}/owner/road-accidents", f"RELEASE={release}"],
        cwd=production.clone, env={**os.environ, **production.environment, **login},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def _with_registry(host: str) -> object:
    filled = jobs.filled
    return lambda text, context: filled(text, context).replace("ghcr.io/", f"{host}/")
