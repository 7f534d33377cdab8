"""Which code a run is made of: the commit, and the image that its steps run in, where they run in one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from zenml.client import Client

from accidents.bundle.provenance import git_commit, has_commit
from accidents.errors import SettingsError
from accidents.source_code import tree_version

if TYPE_CHECKING:
    from zenml.pipelines.pipeline_definition import Pipeline

COMMIT = "ACCIDENTS_COMMIT"  # in an image, which has no git: what it was made of
NO_IMAGE = "no image"
# Labels of our images: Dockerfile.
REVISION, CODE = "org.opencontainers.image.revision", "accidents.code"
HERE = "here"  # in a pipeline's `extra`: it steers what may serve on this machine, and runs on it if it can


@runtime_checkable
class RunsInImage(Protocol):
    """An orchestrator whose steps run in an image that is there, with the code in it."""

    @property
    def image(self) -> str:
        """The image's name."""
        ...

    @property
    def data_remote(self) -> str:
        """The address of the DVC remote by which raw files reach the steps."""
        ...

    @property
    def keeps_here(self) -> bool:
        """Whether a pipeline that asks for this machine (`HERE`) runs on it, and not in the image."""
        ...

    def image_facts(self) -> tuple[str, Mapping[str, str]]:
        """Return the image's digest and labels; what is wrong with it is told in a sentence."""
        ...


def image_orchestrator() -> RunsInImage | None:
    """Return the active stack's orchestrator if its steps run in an image."""
    orchestrator = Client().active_stack.orchestrator
    return cast(RunsInImage, orchestrator) if isinstance(orchestrator, RunsInImage) else None


def runs_here(pipeline: Pipeline) -> bool:
    """Whether a pipeline's steps are on this machine, of this clone's code, as it asks for (`HERE`)."""
    if not pipeline.configuration.extra.get(HERE):
        return False
    orchestrator = image_orchestrator()
    if orchestrator is None:
        return bool(Client().active_stack.orchestrator.config.is_local)
    return orchestrator.keeps_here


def code_used(here: bool = False) -> dict[str, str]:
    """Return the commit and the image of a run that begins now; the same for all its steps.

    Parameters
    ----------
    here : whether it runs on this machine, outside of the image.
    """
    orchestrator = None if here else image_orchestrator()
    if orchestrator is None:
        return {"git_commit": code_commit(), "image": NO_IMAGE}
    digest, labels = orchestrator.image_facts()
    return {"git_commit": labels.get(REVISION, "unknown"), "image": digest}


def code_commit() -> str:
    """Return the commit of this code: the checkout's; in an image, what the image was made of."""
    commit = git_commit()
    return os.environ.get(COMMIT, commit) if commit == "unknown" else commit


def require_own_code() -> None:
    """Raise SettingsError if the steps' image holds other code than this clone, which reads their results.

    An image that does not tell is taken as it is.
    """
    orchestrator = image_orchestrator()
    if orchestrator is None:
        return
    _, labels = orchestrator.image_facts()
    if labels.get(CODE, "unknown") in ("unknown", tree_version()):
        return
    commit = labels.get(REVISION, "unknown")
    which = (
        "This clone has gone on since" if has_commit(commit)
        else "This clone does not have that commit: it is older, or the image is somebody else's"
    )  # fmt: skip
    raise SettingsError(
        f"Steps run in image {orchestrator.image}, made of commit {commit[:12]}, whose code is not this "
        f"clone's. {which}. Bring the clone up to date (git pull), or make the image anew: make images."
    )
