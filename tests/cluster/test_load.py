"""benchmarks/kubernetes.py under each runtime, with tiny bundles that no pipeline has made.

Versions are switched by the deployer alone: what `--pipeline deploy` takes beside is not in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from accidents.predictions.store import PredictionStore
from benchmarks import kubernetes
from benchmarks.options import Options
from serving.api.operations.keys import Keys
from stacks.components.seldon_core.cluster_serving import ClusterServing
from stacks.components.seldon_core.settings import Runtime
from tests.cluster.conftest import TestNamespace, forwarded, give_secret, install_api
from tests.cluster.test_serving import bundle_of, golden_of, settings_of
from tests.conftest import ROOT
from tests.model_servers import NAME, Version
from tests.postgres import running_postgres

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(3600)]
COMPONENTS: dict[Runtime, tuple[str, ...]] = {"seldon": ("seldon",), "deployment": ()}


@dataclass(frozen=True)
class Installation(kubernetes.Cluster):
    """What the benchmark asks, whose versions the deployer switches itself."""

    serving: ClusterServing | None = None
    versions: tuple[tuple[Version, str], ...] = ()

    def run(self, *words: str) -> str:
        """Do as `run.py` does."""
        assert self.serving is not None
        if words == ("rollback",):
            self.serving.end_trials(NAME)
            return ""
        number = int(words[words.index("--version") + 1])
        bundle, golden = bundle_of(number, self.versions), golden_of(number, self.versions)
        if "--canary" in words:
            share = int(words[words.index("--canary") + 1])
            self.serving.try_out(NAME, replace(bundle, role="challenger", share=share), golden)
        else:
            self.serving.switch(NAME, bundle, golden)
        return ""


@pytest.fixture(params=COMPONENTS)
def installation(
    request: pytest.FixtureRequest,
    cluster: TestNamespace,
    versions: tuple[tuple[Version, str], ...],
    tmp_path: Path,
) -> Iterator[Installation]:
    runtime: Runtime = request.param
    if runtime == "seldon" and "seldondeployments" not in cluster.admin("api-resources", "--output=name"):
        pytest.skip("this cluster has no Seldon Core v1")
    settings = settings_of(cluster, runtime).model_copy(update={"replicas": 2})
    serving = ClusterServing(cluster.namespace, settings)
    with running_postgres() as postgres, forwarded(postgres.port) as shared:
        here = postgres.new_database().replace("postgresql:", "postgresql+psycopg:")
        store = PredictionStore(here)
        store.create()
        store.close()
        key = Keys(tmp_path / "keys.json").new("load")
        give_secret(cluster, "accidents-api-keys", {"keys.json": (tmp_path / "keys.json").read_text()})
        inside = here.replace(f"127.0.0.1:{postgres.port}", shared.removeprefix("http://"))
        give_secret(cluster, "accidents-database", {"url": inside})
        serving.switch(NAME, bundle_of(1, versions), golden_of(1, versions))
        api = install_api(cluster, *COMPONENTS[runtime])
        try:
            yield Installation(
                api, key, here, cluster.name, f"runtime {runtime}", serving=serving, versions=versions
            )
        finally:
            cluster.admin("delete", "deployment,hpa,pdb", "accidents-api")
            serving.forget(NAME)


def test_nobody_who_calls_notices_what_happens_to_pods(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "_cluster", lambda: installation)
    monkeypatch.setenv("CLUSTER_ADMIN", os.environ["KUBECONFIG"])
    outcome = kubernetes.run(Options(ROOT))
    print(f"\n{installation.stack}\n{outcome.body}")
    print(json.dumps([figure.model_dump() for figure in outcome.figures], indent=1))
    assert [figure.what for figure in outcome.figures if figure.met is False] == []
