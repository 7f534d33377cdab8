"""Old runs of the pipelines that only look or score, with all that they left in the stores.

Runs of the train pipeline stay: versions are made of what they left.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from zenml.artifacts.utils import load_artifact_store
from zenml.client import Client

from accidents.params import KeepSettings

if TYPE_CHECKING:
    from uuid import UUID

    from zenml.artifact_stores import BaseArtifactStore
    from zenml.models import ArtifactVersionResponse, PipelineRunResponse

_FINISHED = ("completed", "cached", "failed", "stopped")
# A run whose process was killed says for ever that it runs. No run takes that long: `probation.minutes` are
# a day at most.
_DEAD_AFTER = timedelta(days=2)
_PAGE = 100
_UNUSED_FOR = timedelta(days=1)  # a run that begins has its snapshot before it is there


def old_runs(keep: KeepSettings) -> list[PipelineRunResponse]:
    """Return runs that are over, beyond the newest ones that are kept, oldest first."""
    old = [run for pipeline, count in _kept(keep).items() for run in _finished(pipeline)[count:]]
    return sorted(old, key=lambda run: run.created)


def remove_runs(runs: Iterable[PipelineRunResponse]) -> Iterator[PipelineRunResponse]:
    """Remove runs and yield each; one that cannot be removed is told, and the next one's turn."""
    for run in runs:
        try:
            remove_run(run)
        except Exception as error:  # each store has its own
            print(f"  run {run.name} could not be removed whole: {error}", file=sys.stderr, flush=True)
        yield run


def remove_run(run: PipelineRunResponse) -> None:
    """Remove a run, its logs, and the artifacts that it made and nothing else needs, in whichever store.

    The run goes first: an interruption leaves artifacts that nobody asks for, never a run without them. But
    while a store of its logs cannot be opened it stays.
    """
    client = Client()
    steps = client.get_pipeline_run(run.id).steps.values()
    made = {
        artifact.id: artifact for step in steps for outputs in step.outputs.values() for artifact in outputs
    }
    logged = (run.log_collection, *(step.log_collection for step in steps))
    logs = {
        log.uri: log.artifact_store_id
        for collection in logged
        for log in collection or ()
        if log.uri and log.artifact_store_id
    }
    stores = {identity: load_artifact_store(identity) for identity in {*logs.values()}}
    client.delete_pipeline_run(run.id)
    for artifact in made.values():
        if _is_free(client, artifact.id):
            _remove_artifact(client, artifact)
    for address, identity in logs.items():
        _remove_log(stores[identity], address)


def old_tracked(keep: KeepSettings) -> list[str]:
    """Ids of the tracker's runs of monitoring beyond those that are kept, oldest first.

    Of the experiment that ZenML names after the pipeline: others on a shared tracker may be somebody else's.
    """
    tracker: Any = Client().active_stack.experiment_tracker
    if tracker is None or keep.monitor_runs is None:
        return []
    import mlflow

    tracker.configure_mlflow()  # outside of a step MLflow does not know where the stack's tracker is

    experiment = mlflow.get_experiment_by_name("monitor")
    if experiment is None:
        return []
    tracked = mlflow.MlflowClient().search_runs(
        [experiment.experiment_id], "tags.kind = 'monitor'",
        order_by=["attributes.start_time DESC"], max_results=10_000,
    )  # fmt: skip
    return [run.info.run_id for run in reversed(tracked[keep.monitor_runs :])]


def remove_tracked(run_id: str) -> None:
    """Remove a run of the tracker and its files."""
    import mlflow
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    client = mlflow.MlflowClient()
    files: Any = get_artifact_repository(client.get_run(run_id).info.artifact_uri)
    files.delete_artifacts()
    client.delete_run(run_id)


def unused_snapshots() -> int:
    """Return how many snapshots (how a run was configured, a tenth of a megabyte) have no run any more."""
    return _prune_snapshots(apply=False)


def remove_snapshots() -> int:
    """Remove these; return how many, 0 where a server does it later."""
    return _prune_snapshots(apply=True)


def _prune_snapshots(apply: bool) -> int:
    before = datetime.now(UTC) - _UNUSED_FOR
    return Client().prune_snapshots(before, apply=apply).snapshot_count or 0


def trim(keep: KeepSettings) -> None:
    """Remove all that `old_runs` and `old_tracked` name, and what ZenML keeps of runs that are gone."""
    for _ in remove_runs(old_runs(keep)):
        pass
    for run_id in old_tracked(keep):
        remove_tracked(run_id)
    remove_snapshots()


def _kept(keep: KeepSettings) -> Mapping[str, int]:
    """How many runs are kept of each pipeline; one that keeps all is absent."""
    wanted = {
        "monitor": keep.monitor_runs, "verify": keep.monitor_runs,
        "recalibrate": keep.monitor_runs, "replay": keep.monitor_runs,
        "inference": keep.inference_runs, "deploy": keep.inference_runs,
    }  # fmt: skip
    return {pipeline: count for pipeline, count in wanted.items() if count is not None}


def _finished(pipeline: str) -> list[PipelineRunResponse]:
    """Newest first; also those that were killed."""
    client, finished = Client(), []
    dead = datetime.now(UTC) - _DEAD_AFTER
    page = total = 1
    while page <= total:
        runs = client.list_pipeline_runs(pipeline=pipeline, size=_PAGE, page=page, sort_by="desc:created")
        finished += [run for run in runs.items if run.status.value in _FINISHED or _aware(run.created) < dead]
        page, total = page + 1, runs.total_pages
    return finished


def _aware(moment: datetime) -> datetime:
    """ZenML's times are in UTC, with or without saying so."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_free(client: Client, artifact: UUID) -> bool:
    unused = client.list_artifact_versions(id=artifact, only_unused=True, size=1).total
    linked = client.list_model_version_artifact_links(artifact_version_id=artifact, size=1).total
    return bool(unused) and not linked


def _remove_artifact(client: Client, artifact: ArtifactVersionResponse) -> None:
    client.delete_artifact_version(artifact.id, delete_from_artifact_store=True)


def _remove_log(store: BaseArtifactStore, address: str) -> None:
    if store.exists(address):
        (store.rmtree if store.isdir(address) else store.remove)(address)
