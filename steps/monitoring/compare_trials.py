"""Versions on trial against the champion, on the accidents of the log that they scored: a page each."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from zenml import step

from accidents.bundle import Bundle
from accidents.monitoring.dated_ahead import latest, notes_on
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.scored_accidents import Scored, compare_scored, scored_by
from accidents.reports.trial import write_trial
from stacks.endpoints import ServedVersion, deployed_endpoint
from steps.folder import Folder
from steps.support import champion_and_versions
from steps.support.prediction_store import opened_store
from steps.support.references import VersionReference

LOOKED_AT = 20_000  # predictions, the newest of the window and the champion's stage


@step(enable_cache=False)  # the log grows, and trials come and go
def compare_trials(
    bundle: Folder, version: VersionReference, policy: MonitorSettings, seed: int
) -> Annotated[Folder, "trial_reports"]:
    """trial_challenger.html and trial_shadow.html, and the same as JSON; empty where nothing is on trial."""
    name, folder = version.name, Folder.temporary("trials-")
    champion = version.load(bundle)
    for served in _on_trial(name):
        facts = {
            "name": name,
            "role": served.role,
            "share": served.share,
            "version": served.version,
            "champion": version.version,
        }
        trial = champion_and_versions.bundle_of(champion_and_versions.version(name, served.version))
        scored = _scored(trial, champion, policy, seed)
        write_trial(folder.path, facts, compare_scored(scored, champion, trial, seed), scored.notes)
    return folder


def _on_trial(name: str) -> Iterable[ServedVersion]:
    endpoint = deployed_endpoint(name)
    return endpoint.versions()[1:] if endpoint else ()


def _scored(trial: Bundle, champion: Bundle, policy: MonitorSettings, seed: int) -> Scored:
    window = policy.window
    now = datetime.now(UTC)
    since, until = None if window.last else now - timedelta(days=window.days), latest(now)
    last = min(window.last or LOOKED_AT, LOOKED_AT)
    with opened_store() as store:
        rows = store.log.read(since, until, last, shadow=trial.digest, stage=champion.stage)
        scored = scored_by(trial, champion, rows, policy, seed)
        ahead = notes_on(store.log.count_from(until, champion.stage), until)
    return replace(scored, notes=(*scored.notes, *ahead))
