"""Model versions, kept by ZenML on every stack; registry_mirror.py has the stack's model registry follow.

ZenML's stage `production` is the truth about who is champion. A version counts from the moment the digest of
its bundle is written on it, which is the last thing that makes it: what a crash left before that is archived
by whoever registers or promotes next, and is never chosen.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from filelock import FileLock

from accidents.bundle import Bundle, load_bundle
from accidents.errors import AccidentsError, BundleError
from steps.support import registry_mirror
from steps.support.registry_lock import turn

if TYPE_CHECKING:
    from zenml.models import ArtifactVersionResponse, ModelVersionResponse

    from steps.folder import Folder

BUNDLE = "bundle"  # the artifact, and the metadata key of its digest
TAKEN_BACK = "taken_back"  # the metadata key of when a rollback did it
_UNFINISHED = "Never finished: the training that made it ended while it was registered."


class RegistryError(AccidentsError):
    """A version, champion or predecessor that is asked for is not there."""


class ChampionChangedError(RegistryError):
    """Another version became champion since a candidate was judged: it is to be judged against that one."""

    def __init__(self, now: ModelVersionResponse | None) -> None:
        self.champion = str(now.number) if now else None
        super().__init__(
            f"Version {self.champion} has become champion meanwhile." if now else "The champion has gone."
        )


def model_name(stage: str) -> str:
    """Return the registered name of the model of a knowledge stage: champions are per stage."""
    return f"accident-severity-{stage.replace('_', '-')}"


def champion(name: str) -> ModelVersionResponse | None:
    """Return the version in production, or None."""
    from zenml.client import Client
    from zenml.enums import ModelStages

    try:
        return Client().get_model_version(name, ModelStages.PRODUCTION)
    except KeyError:
        return None


def version(name: str, number: str) -> ModelVersionResponse:
    """Return a version by its number.

    Raises RegistryError if it is absent or unfinished, naming those there are.
    """
    from zenml.client import Client

    try:
        # As a number: ZenML takes a bare "1" for a name, and names may change.
        model_version = Client().get_model_version(name, int(number))
        wrong = "" if _is_finished(model_version) else f"Version {number} of {name} is no use. {_UNFINISHED}"
    except (KeyError, ValueError):
        wrong = f"{name} has no version {number!r}."
    if wrong:
        there = (
            ", ".join(str(model_version.number) for model_version in versions(name))
            or "none yet (run --pipeline train)"
        )
        raise RegistryError(f"{wrong} There are: {there}.")
    return model_version


def versions(name: str) -> list[ModelVersionResponse]:
    """Every finished version, oldest first."""
    return [model_version for model_version in _all(name) if _is_finished(model_version)]


def with_identity(name: str, identity: str) -> ModelVersionResponse | None:
    """Return the newest version that was made from the same, or None."""
    same = (
        model_version
        for model_version in reversed(versions(name))
        if model_version.run_metadata.get("identity") == identity
    )
    return next(same, None)


def bundle_of(model_version: ModelVersionResponse) -> Bundle:
    """Return the bundle of a version, copied here. Raises BundleError if it is not what was registered."""
    folder: Folder = bundle_artifact(model_version).load()
    return registered(
        folder.path, model_version.model.name, str(model_version.number), digest_of(model_version)
    )


def bundle_artifact(model_version: ModelVersionResponse) -> ArtifactVersionResponse:
    """Return the bundle of a version in ZenML's store. Raises RegistryError if it has none."""
    artifact = model_version.get_artifact(BUNDLE)
    if artifact is None:
        raise RegistryError(
            f"Version {model_version.number} of {model_version.model.name} has no bundle. Train again."
        )
    return artifact


def registered(folder: Path, name: str, version: str, digest: str) -> Bundle:
    """Return the bundle in a folder.

    Raises BundleError, naming the version, if it is not the one registered.
    """
    try:
        return load_bundle(folder, digest)
    except BundleError as error:
        raise BundleError(f"{name} version {version}: {error}") from None


def digest_of(model_version: ModelVersionResponse) -> str:
    """Return the digest its bundle had when it was registered."""
    return str(model_version.run_metadata[BUNDLE])


@contextmanager
def changing() -> Iterator[None]:
    """Nobody else who uses this store registers or promotes meanwhile.

    On this machine a lock sees to it, which ends with its process; on a shared server, a turn.
    """
    from zenml.config.global_config import GlobalConfiguration

    with FileLock(Path(GlobalConfiguration().config_directory) / "versions.lock"), turn():
        yield


def bury(name: str) -> None:
    """Archive what a crash left unfinished, delete its mirror, and say so; to be called while `changing`."""
    from zenml.client import Client
    from zenml.enums import ModelStages

    for model_version in _all(name):
        if not _is_finished(model_version) and model_version.stage != ModelStages.ARCHIVED:
            registry_mirror.forget(model_version)
            Client().update_model_version(model_version.model.id, model_version.id, description=_UNFINISHED)
            model_version.set_stage(ModelStages.ARCHIVED, force=True)
            print(
                f"  version {model_version.number} of {name} is archived. {_UNFINISHED}",
                file=sys.stderr,
                flush=True,
            )


def complete(model_version: ModelVersionResponse) -> None:
    """Have the stack's registry hold a version, should it lack it: another stack's, or one that was lost."""
    if not registry_mirror.has(model_version):
        registry_mirror.add(model_version, bundle_of(model_version))


def record_decision(model_version: ModelVersionResponse, reason: str) -> None:
    """Write on a version why it was promoted or not."""
    from zenml.client import Client

    Client().update_model_version(model_version.model.id, model_version.id, description=reason)
    registry_mirror.tell(model_version, tags={"decision": reason})


def record_loop(model_version: ModelVersionResponse, **tags: str) -> None:
    """Write on a version what the loop did with it, where ZenML's dashboard and the registry show it."""
    from zenml import log_metadata

    log_metadata(metadata={"loop": dict(tags)}, model_version_id=model_version.id)
    registry_mirror.tell(model_version, tags={f"loop_{name}": value for name, value in tags.items()})


def made_by_loop(model_version: ModelVersionResponse) -> str | None:
    """Return the loop that a version was made in, while nothing is recorded of it yet; None for others."""
    loop: Any = model_version.run_metadata.get("loop")
    return loop if isinstance(loop, str) else None


def promoted_at(model_version: ModelVersionResponse) -> str | None:
    """When a version became champion, ISO 8601; None for those promoted before 0.3."""
    return _promotion(model_version).get("at")


def was_taken_back(model_version: ModelVersionResponse) -> bool:
    """Whether a rollback has ended a version's time as champion, and nobody has promoted it since."""
    taken_back = str(model_version.run_metadata.get(TAKEN_BACK, ""))
    return taken_back > str(_promotion(model_version).get("at", ""))  # of one form: in order as text


ANYBODY = "anybody"


def promote(model_version: ModelVersionResponse, reason: str, against: str | None = ANYBODY) -> None:
    """Make a version champion, in ZenML and in the stack's model registry; the old one is archived.

    All that can be wrong is found out before anything is changed. A crash on the way leaves a champion in
    ZenML that the registry does not know yet; the next promotion, or `sync_registry` after a training, tells
    it.

    Parameters
    ----------
    against : the champion that it was judged against, None for nobody. Raises ChampionChangedError, with the
        champion as it was, if another version is champion now.
    """
    name = model_version.model.name
    bundle_of(model_version)  # one that was altered is refused
    with changing():
        bury(name)
        model_version = version(name, str(model_version.number))  # as it is by now
        complete(model_version)
        others = _promotions(name, model_version)
        before = champion(name)
        if _number(before) != str(model_version.number):
            if against not in (ANYBODY, _number(before)):
                raise ChampionChangedError(before)
            _set_champion(model_version, reason, before, _number(before))
            _check_alone(model_version, others)
        registry_mirror.tell(model_version, champion=True)


def check_champion(name: str, against: str | None) -> None:
    """Raise ChampionChangedError if another version is champion than a candidate was judged against."""
    now = champion(name)
    if _number(now) != against:
        raise ChampionChangedError(now)


def conclude(candidate: ModelVersionResponse, decision: Mapping[str, Any]) -> str:
    """Write down what was decided of a candidate, and return who is champion now, "" for nobody."""
    if decision["rule"] != "same":  # who is champion already keeps the reason it was promoted for
        record_decision(candidate, decision["reason"])
    now = sync_registry(candidate.model.name)
    return str(now.number) if now else ""


def rollback(name: str, judged: str = ANYBODY) -> tuple[ModelVersionResponse, ModelVersionResponse]:
    """Put the version back that the champion replaced; return (new champion, old champion).

    Parameters
    ----------
    judged : the version that was found wrong. Raises ChampionChangedError if another is champion now.
    """
    from zenml import log_metadata

    with changing():
        now = champion(name)
        if now is None:
            raise RegistryError(f"{name} has no champion to roll back from. Run --pipeline train.")
        if judged not in (ANYBODY, str(now.number)):
            raise ChampionChangedError(now)
        replaced = _promotion(now).get("replaced")
        if not replaced:
            raise RegistryError(f"Version {now.number} of {name} replaced no other: nothing to roll back to.")
        before = version(name, replaced)
        bundle_of(before)
        complete(before)
        log_metadata(metadata={TAKEN_BACK: _now()}, model_version_id=now.id)
        # What it had replaced itself stays: a second rollback goes one further back, not forward again.
        reason, replaced = f"rolled back from version {now.number}", _promotion(before).get("replaced")
        _set_champion(before, reason, now, replaced)
        registry_mirror.tell(before, champion=True)
    return before, now


def sync_registry(name: str) -> ModelVersionResponse | None:
    """Have the registry's alias at ZenML's champion, should they differ (a crash in between); return it."""
    with changing():
        now = champion(name)
        if now is not None:
            complete(now)
            registry_mirror.tell(now, champion=True)
    return now


def _all(name: str) -> list[ModelVersionResponse]:
    from zenml.client import Client

    try:
        return sorted(
            Client().list_model_versions(model=name, size=1000).items,
            key=lambda model_version: model_version.number,
        )
    except KeyError:
        return []


def _is_finished(model_version: ModelVersionResponse) -> bool:
    return BUNDLE in model_version.run_metadata


def _number(model_version: ModelVersionResponse | None) -> str | None:
    return str(model_version.number) if model_version else None


def _promotion(model_version: ModelVersionResponse) -> dict[str, Any]:
    promotion: Any = model_version.run_metadata.get("promotion", {})
    return dict(promotion)


def _promotions(name: str, but: ModelVersionResponse) -> dict[UUID, Mapping[str, Any]]:
    """Return what the other versions say of their last promotion."""
    return {
        model_version.id: _promotion(model_version)
        for model_version in versions(name)
        if model_version.id != but.id
    }


def _set_champion(
    model_version: ModelVersionResponse,
    reason: str,
    before: ModelVersionResponse | None,
    replaced: str | None,
) -> None:
    """Make a version champion after `before`; `replaced` is what a rollback goes back to."""
    from zenml import log_metadata
    from zenml.enums import ModelStages

    # The way back is written before the step is taken.
    promotion = {"reason": reason, "replaced": replaced or "", "at": _now()}
    log_metadata(metadata={"promotion": promotion}, model_version_id=model_version.id)
    check_champion(model_version.model.name, _number(before))
    model_version.set_stage(ModelStages.PRODUCTION, force=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _check_alone(model_version: ModelVersionResponse, others: Mapping[UUID, Mapping[str, Any]]) -> None:
    """Whether nobody else promoted in the same moment: one whose turn was taken for dead, or an older clone.

    Each writes that it promotes, then does it, then looks what others wrote: of two, one at least sees the
    other, gives way and raises ChampionChangedError.
    """
    from zenml.enums import ModelStages

    for other in versions(model_version.model.name):
        if other.id != model_version.id and other.stage and _promotion(other) != others.get(other.id, {}):
            other.set_stage(ModelStages.PRODUCTION, force=True)
            raise ChampionChangedError(other)
