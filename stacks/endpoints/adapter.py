"""What adapters share: the files of a bundle, their errors, and what serves one version at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

from accidents.bundle import load_bundle
from accidents.errors import AccidentsError, BundleError
from accidents.rollout.traffic_split import CHAMPION, Role
from stacks.endpoints.component import Component
from stacks.endpoints.protocol import BundleReference, DeploymentError, ServedVersion
from stacks.errors import StackError

if TYPE_CHECKING:
    from accidents.bundle.golden import Golden


class OneVersionEndpoint:
    """The part of an endpoint that is alike wherever a deployer serves one version at a time."""

    server: ClassVar[str]  # what serves, in words

    def __init__(self, name: str, component: Component) -> None:
        self.name = name
        self._component = component

    @property
    def no_trials(self) -> str:
        """There is one version, and the API is told of no other."""
        return f"{self.server} serves one version at a time"

    def try_out(self, bundle: BundleReference, golden: Golden, role: Role, share: int) -> ServedVersion:
        """Raise DeploymentError: nothing can be on trial."""
        raise DeploymentError(
            f"{self.no_trials}, so version {bundle.version} cannot be on trial as well. Use a stack with an "
            "mlserver deployer: --stack local."
        )

    def end_trials(self) -> tuple[ServedVersion, ...]:
        """Nothing can be on trial."""
        return ()

    def _require_champion(self, role: Role) -> None:
        if role != CHAMPION:
            raise DeploymentError(f"No version of {self.name} serves as {role}.")


@contextmanager
def fetched(bundle: BundleReference) -> Iterator[Path]:
    """Yield the files of a bundle on this machine, as long as they are needed.

    Raises BundleError if they cannot be read, or are not those that the reference means.
    """
    with TemporaryDirectory(prefix="bundle-") as folder:
        files = Path(bundle.uri)
        if "://" in bundle.uri:  # in a bucket; whoever read the reference has its artifact store at hand
            from zenml.utils import io_utils

            try:
                io_utils.copy_dir(bundle.uri, folder, overwrite=True)
            except Exception as error:  # each store's client has its own
                raise BundleError(f"The bundle at {bundle.uri} cannot be read: {error}") from error
            files = Path(folder)
            if not any(files.iterdir()):  # ZenML takes a place that is not there for an empty one
                raise BundleError(f"The bundle at {bundle.uri} cannot be read: nothing is there.")
        load_bundle(files, bundle.digest)
        yield files


@contextmanager
def explained() -> Iterator[None]:
    """Raise what goes wrong as a DeploymentError."""
    try:
        yield
    except DeploymentError:
        raise
    except (AccidentsError, StackError, RuntimeError) as error:  # RuntimeError: what ZenML's deployers raise
        raise DeploymentError(str(error)) from error
