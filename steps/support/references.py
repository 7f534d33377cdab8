"""A registered version as a run is told of it: by reference, so that its bundle is made and kept once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from accidents.bundle import Bundle
from accidents.strict import Strict
from steps.folder import FILES, Folder
from steps.support import champion_and_versions
from steps.support.champion_and_versions import RegistryError

if TYPE_CHECKING:
    from zenml.models import ArtifactVersionResponse


class VersionReference(Strict):
    """What travels in place of a version's bundle.

    Attributes
    ----------
    name, version : of the registered model.
    artifact : id of the bundle that training made, in ZenML's store.
    uri : of the folder that holds the bundle's files, in the artifact store.
    digest : that the bundle must have.
    """

    name: str
    version: str
    artifact: str
    uri: str
    digest: str

    def load(self, bundle: Folder) -> Bundle:
        """Load the bundle from a copy of it. Raises BundleError if it is not what was registered."""
        return champion_and_versions.registered(bundle.path, self.name, self.version, self.digest)


def refer_to(stage: str, version: str | None) -> VersionReference:
    """Find a version of a stage's model, or its champion if `version` is None.

    Raises RegistryError if there is no such version, or no champion. Not to be called while a pipeline is
    put together: ZenML's client then promises versions in place of finding them.
    """
    name = champion_and_versions.model_name(stage)
    chosen = (
        champion_and_versions.champion(name)
        if version is None
        else champion_and_versions.version(name, version)
    )
    if chosen is None:
        raise RegistryError(f"{name} has no champion yet. Run --pipeline train, or name a --version.")
    artifact = champion_and_versions.bundle_artifact(chosen)
    return VersionReference(
        name=name,
        version=str(chosen.number),
        artifact=str(artifact.id),
        uri=os.path.join(artifact.uri, FILES),
        digest=champion_and_versions.digest_of(chosen),
    )


def bundle_of(reference: VersionReference) -> ArtifactVersionResponse:
    """Return the bundle that training made, as the input of a step, which so descends from that training.

    To be called while a pipeline is put together: ZenML's client then promises the artifact, and the step
    takes it from the artifact store that it is in, be it another stack's.
    """
    from zenml.client import Client

    return Client().get_artifact_version(reference.artifact)
