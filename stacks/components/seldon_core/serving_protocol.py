"""What is asked of whatever serves models: a namespace of a cluster, or processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from stacks.components.seldon_core.description import Served, ServedBundle


class ServedModels(Protocol):
    """The models of a place. Whatever fails raises StackError with what to do."""

    @property
    def reads_bundles(self) -> bool:
        """Whether it takes a bundle's files from a folder here, and not from the artifact store."""
        ...

    @property
    def no_trials(self) -> str:
        """Why no version can be on trial beside the champion, in words; empty where one can."""
        ...

    def reached(self) -> str:
        """Return what was reached, in words."""
        ...

    def names(self) -> list[str]:
        """Return the models that are known there, running or not."""
        ...

    def served(self, name: str) -> Served | None:
        """Return what is served of a model."""
        ...

    def switch(self, name: str, bundle: ServedBundle, golden: dict[str, Any]) -> Served:
        """Have a version serve alone, once it has given the golden answers; else all is as it was."""
        ...

    def try_out(self, name: str, bundle: ServedBundle, golden: dict[str, Any]) -> Served:
        """Have a version in a role beside the champion, once it has given the golden answers."""
        ...

    def end_trials(self, name: str) -> tuple[ServedBundle, ...]:
        """Have the champion answer everything; return what was beside it."""
        ...

    def stop(self, name: str) -> None:
        """Take away what runs; what is served stays known."""
        ...

    def forget(self, name: str) -> None:
        """Take away what runs, and know nothing of it any more."""
        ...

    def fault(self, served: Served, bundle: ServedBundle) -> str:
        """Return why a version does not serve, as it is now; empty if it does."""
        ...

    def drift(self, served: Served) -> list[str]:
        """Return what somebody has changed, or taken away, since it was applied."""
        ...

    def supervision(self, served: Served) -> str:
        """Say who brings it back."""
        ...

    def metadata(self, served: Served, bundle: ServedBundle) -> dict[str, Any]:
        """Return what the model server says of a version, as V2 has it."""
        ...

    def predict(self, served: Served, bundle: ServedBundle, request: dict[str, Any]) -> list[float]:
        """Return the output p_severe of a V2 request."""
        ...

    def prediction_url(self, served: Served, bundle: ServedBundle) -> str:
        """Return where requests go, in the server's own protocol."""
        ...

    def health_url(self, served: Served, bundle: ServedBundle) -> str:
        """Return what answers 200 once the model is ready."""
        ...

    def v2_address(self, served: Served) -> str | None:
        """Return where V2 is spoken to who is here; None where it is not."""
        ...

    def log(self, served: Served, bundle: ServedBundle, lines: int) -> Iterator[str]:
        """Yield the last lines that a version's servers have logged."""
        ...

    def how_to_follow(self, served: Served, bundle: ServedBundle) -> str:
        """Return the command that shows what they log from now on."""
        ...
