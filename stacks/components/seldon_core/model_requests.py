"""What is asked of the model servers of a version in a cluster, past Kubernetes' proxy of their service."""

from __future__ import annotations

from typing import Any

from stacks.cluster.answers import ClusterError
from stacks.cluster.namespace import Namespace
from stacks.components.mlserver.client import probabilities_of, require_golden
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.renderings.rendering import Rendering


class ModelRequests:
    """Requests to the models of a namespace. Each raises ClusterError where no answer comes."""

    def __init__(self, namespace: Namespace, rendering: Rendering) -> None:
        self._namespace, self._rendering = namespace, rendering

    def metadata(self, served: Served, bundle: ServedBundle) -> dict[str, Any]:
        """Return what the model server says of a version."""
        return dict(self._ask(served, bundle, "GET", "") or {})

    def predict(self, served: Served, bundle: ServedBundle, request: dict[str, Any]) -> list[float]:
        """Return the output p_severe of a V2 request."""
        return probabilities_of(self._ask(served, bundle, "POST", "/infer", request))

    def require_golden(self, served: Served, bundle: ServedBundle, golden: dict[str, Any]) -> None:
        """Raise StackError unless a version gives the golden answers."""
        answer = self._ask(served, bundle, "POST", "/infer", golden["request"])
        require_golden(served.model(bundle), answer, golden, bundle.version, bundle.digest)

    def wrong_answer(self, served: Served, bundle: ServedBundle) -> str:
        """Return why it is not this version that answers, or that none does; empty if it is."""
        try:
            metadata = self.metadata(served, bundle)
        except ClusterError as error:
            return str(error)
        versions, digest = metadata.get("versions"), metadata.get("parameters", {}).get("digest")
        if (versions, digest) != ([bundle.version], bundle.digest):
            return f"the model server answers as version {versions}: deploy again"
        return ""

    def url(self, served: Served, bundle: ServedBundle) -> str:
        """Return where a version is asked within the cluster, without /v2."""
        service, port = self._rendering.address(served, bundle)
        return f"http://{service}.{self._namespace.name}.svc:{port}"

    def _ask(self, served: Served, bundle: ServedBundle, method: str, path: str, body: Any = None) -> Any:
        service, port = self._rendering.address(served, bundle)
        return self._namespace.ask(service, port, method, f"/v2/models/{served.model(bundle)}{path}", body)
