"""The first hour of a new version: golden requests, readiness of the API, and its first predictions."""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Annotated

import numpy as np
from zenml import log_metadata, step

from accidents.bundle import Bundle
from accidents.bundle.golden import Golden, make_golden
from accidents.errors import AccidentsError
from accidents.monitoring.callers import NO_KEY
from accidents.monitoring.dated_ahead import latest, notes_on
from accidents.monitoring.monitor_settings import KNOWN_AFTER, MonitorSettings
from accidents.monitoring.probation import Answer, Compared, Probe, TrafficSeen, Verdict, judge_probation
from accidents.predictions.prediction_log import PredictionLogError
from accidents.rollout.traffic_split import CHALLENGER, CHAMPION, Role, is_in_share
from accidents.scoring.score import probabilities
from stacks.endpoints import State, active_endpoints
from steps.folder import Folder
from steps.support import champion_and_versions
from steps.support.prediction_store import opened_store
from steps.support.references import VersionReference

PROBED_ROWS = 20
SHOWN_EVERY = 60  # seconds
LOOKED_AT = 2_000  # predictions, the newest, that a look at the log reads
_API_SECONDS = 3


@step(enable_cache=False)  # it watches what serves now
def watch_version(
    bundle: Folder,
    version: VersionReference,
    since: str,
    settings: MonitorSettings,
    api: str | None,
    role: Role = CHAMPION,
    earlier: Folder | None = None,
    before: VersionReference | None = None,
    share: int = 100,
) -> Annotated[Verdict, "probation"]:
    """Watch `version` until the probation's minutes after `since`; ends at once when something is wrong.

    Parameters
    ----------
    since : when it was deployed, ISO 8601.
    api : address of the API in front of it; None if none runs.
    role : in which it serves.
    earlier, before : the version it replaced, or is tried beside; None if there was none.
    share : percent of the accidents that a challenger answers.
    """
    policy = settings.probation
    watched = version.load(bundle)
    golden = make_golden(watched, PROBED_ROWS)
    replaced = None if earlier is None or before is None else before.load(earlier)
    begun, end = _begun_and_end(since, policy.minutes * 60)
    known = begun + timedelta(seconds=KNOWN_AFTER)
    probes, seen = list[Probe](), TrafficSeen()
    shown = float("inf")  # seconds that were left when progress was shown last
    while True:
        probes.append(_probe(version.name, golden, api, role))
        compared = _first_predictions(watched, replaced, version.version, begun)
        left = end - time.monotonic()
        over = left <= 0 and len(probes) >= policy.min_probes
        seen.add(_answers(watched, version, before, known, role, share))
        verdict = judge_probation(probes, compared, policy, settings.per_caller, seen.traffic(), over)
        if shown - left >= SHOWN_EVERY or not verdict.stays:
            shown = left
            _progress(version.version, verdict, left)
        if not verdict.stays or over:
            break
        time.sleep(policy.every_seconds)
    verdict = verdict.model_copy(update={"notes": (*verdict.notes, *_dated_ahead(watched))})
    chosen = champion_and_versions.version(version.name, version.version)
    log_metadata(metadata={"probation": verdict.to_dict()}, model_version_id=chosen.id)
    return verdict


def _begun_and_end(since: str, whole: float) -> tuple[datetime, float]:
    """Return when the probation began, and when its seconds are over, as `time.monotonic` counts.

    From here on no clock that is set ends it, or makes it longer. A `since` in the future, of a clock that
    was ahead, counts as now.
    """
    now, begun = datetime.now(UTC), datetime.fromisoformat(since)
    elapsed = min(max((now - begun).total_seconds(), 0), whole)
    return min(begun, now), time.monotonic() + whole - elapsed


def _probe(name: str, golden: Golden, api: str | None, role: Role) -> Probe:
    """Golden rows to the model server, and the API asked whether it is ready."""
    begun = time.perf_counter()
    try:
        endpoint = active_endpoints().endpoint(name)
        state = endpoint.state()
        if state.state != State.healthy:
            raise AccidentsError(f"the model server does not run: {state.reason}")
        predict = endpoint.predictor(role)
        begun = time.perf_counter()  # look-ups, and a new connection, are not the server's latency
        golden.check(predict(golden.features), f"The server at {state.url}")
        seconds = time.perf_counter() - begun
        if api is not None:
            _require_ready(api)
    except (AccidentsError, OSError, HTTPException) as error:
        words = str(error).strip() or type(error).__name__
        return Probe(time.perf_counter() - begun, words[:300])
    return Probe(seconds)


def _require_ready(api: str) -> None:
    """Raise OSError or HTTPException unless the API says that predictions can be made."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(f"{api}/health/ready", timeout=_API_SECONDS).close()


def _first_predictions(watched: Bundle, earlier: Bundle | None, version: str, since: datetime) -> Compared:
    """Return what the new version answered last, and what the one before would have."""
    none = Compared(np.empty(0), np.empty(0), np.empty(0, dtype=object))
    if earlier is None:
        return none
    with opened_store() as store:
        rows = [
            (row["probability"], _values(row["features"], earlier), row["key_name"] or NO_KEY)
            for row in store.log.read(since, latest(datetime.now(UTC)), LOOKED_AT, digest=watched.digest)
            if row["model_version"] == version
        ]
    if not rows:
        return none
    answered, values, callers = zip(*rows, strict=True)
    before = probabilities(earlier.model, np.array(values, dtype=np.float32))
    return Compared(np.array(answered), before, np.array(callers, dtype=object))


def _answers(
    watched: Bundle,
    version: VersionReference,
    before: VersionReference | None,
    since: datetime,
    role: Role,
    share: int,
) -> dict[tuple[str, str], Answer]:
    """Return the newest answers by caller and accident; of a challenger's share, whether it gave them itself.

    What other versions answered came to another endpoint, whose API writes into the same log.
    """
    ours = {each.version for each in (version, before) if each is not None}
    answers = {}
    with opened_store() as store:
        until = latest(datetime.now(UTC))
        for row in store.log.read(since, until, LOOKED_AT, stage=watched.stage):  # the newest comes last
            if row["model_name"] != version.name or row["model_version"] not in ours:
                continue
            accident = row["accident_id"] or row["session"] or row["request_id"]  # as the API draws the share
            own = (row["model_version"], row["model_digest"]) == (version.version, watched.digest)
            due = is_in_share(accident, share) if role == CHALLENGER else own
            form = row["session"] or accident  # which may be given its id at the end
            answers[row["key_name"] or NO_KEY, form] = Answer(row["request_id"], due, own)
    return answers


def _dated_ahead(watched: Bundle) -> tuple[str, ...]:
    until = latest(datetime.now(UTC))
    with suppress(PredictionLogError), opened_store() as store:  # the verdict stands without it
        return notes_on(store.log.count_from(until, watched.stage), until)
    return ()


def _values(features: Mapping[str, float | None], bundle: Bundle) -> list[float]:
    values = (features.get(name) for name in bundle.features)
    return [np.nan if value is None else value for value in values]


def _progress(version: str, verdict: Verdict, left: float) -> None:
    print(
        f"  version {version} on probation: {verdict.probes} golden requests, {verdict.failed} failed, "
        f"{verdict.predictions:,} predictions; {timedelta(seconds=max(round(left), 0))} left",
        file=sys.stderr,
        flush=True,
    )
