"""From measurements and history to a decision: `keep`, `alert`, `recalibrate` or `retrain`. A pure function.

- A window too small, or older than what the champion has learnt, decides nothing and clears nothing.
- Drift alone alerts. Drift together with a performance loss retrains: two signs that do not depend on each
  other. A performance loss without drift must be found in `confirm` windows in a row. A whole new year of
  labels retrains.
- Where severity alone has shifted (a calibration gap beyond chance, and the ranking is not lost), three
  numbers mend it: recalibrate.
- Hysteresis: what was found stays active until `clear_after` windows in a row are quiet. Looks less than
  `apart_hours` apart are at the same accidents, so they count as one window.
- After a retraining or a recalibration, none for its `cooldown_days`. Broken fields are to be mended, not
  learnt: neither of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from accidents.monitoring.measurements import (
    KINDS,
    Action,
    DriftMeasures,
    Kind,
    LoopDecision,
    Measurements,
    Past,
    PerformanceMeasures,
)
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.performance import gap_to_mend

_SHOWN = 8  # names in a sentence


def decide(
    now: Measurements, history: Sequence[Past], policy: MonitorSettings, moment: datetime
) -> LoopDecision:
    """Return what follows from a window.

    Parameters
    ----------
    history : earlier runs of the same stage, in the order they were written, the newest last.
    moment : aware; the time of the decision, for the cooldown.
    """
    mine = [past for past in history if past.champion == now.champion.digest]
    unable = why_not_judged(now, policy)
    if unable:
        held = _held((), mine, policy, None)
        return LoopDecision(action="alert" if held else "keep", firing=(), active=held,
                        reasons=(unable, *_still(held)))  # fmt: skip
    firing = _firing(now, policy)
    active = _held(firing, mine, policy, moment)
    before = tuple(kind for kind in active if kind not in firing)
    reasons = [*_findings(now, firing), *_still(before), *_clock(history)]
    action, why = _action(now, firing, active, mine, history, policy, moment)
    return LoopDecision(action=action, firing=firing, active=active, reasons=(*reasons, *why))


def why_not_judged(now: Measurements, policy: MonitorSettings) -> str:
    """Why a window says nothing of the champion; an empty text if it does."""
    window = now.window
    if not window.rows:
        return "The window is empty: nothing was looked at."
    if window.rows < policy.min_rows:
        return f"Too few accidents to say anything: {window.rows:,} (min_rows: {policy.min_rows:,})."
    if window.last_month is not None and window.last_month < now.champion.learnt_until:
        return (
            f"The window ends in {window.last_month}, before what the champion has learnt from (up to "
            f"{now.champion.learnt_until}): it tells of the past, so nothing follows from it."
        )
    return ""


def _firing(now: Measurements, policy: MonitorSettings) -> tuple[Kind, ...]:
    drift, performance = now.drift, now.performance
    fires: dict[Kind, bool] = {
        "missing": drift is not None and bool(drift.missing),
        "features": drift is not None and len(drift.drifted) >= policy.drift.features,
        "predictions": drift is not None and drift.predictions_drifted,
        "performance": performance is not None
        and (bool(performance.losses) or _only_calibration(now, policy)),
        "new_year": bool(now.new_years),
    }
    return tuple(kind for kind in KINDS if fires[kind])


def _held(
    firing: Sequence[Kind], mine: Sequence[Past], policy: MonitorSettings, moment: datetime | None
) -> tuple[Kind, ...]:
    """Return what is found now, and what was and has not been quiet for long enough. A new year is done with.

    `moment` is None where the window now says nothing: it is not counted as a quiet one.
    """
    lasting = {
        kind
        for kind in KINDS
        if kind != "new_year" and _is_lasting(kind, [past for past in mine if past.judged], policy, moment)
    }
    return tuple(kind for kind in KINDS if kind in firing or kind in lasting)


def _is_lasting(kind: Kind, judged: Sequence[Past], policy: MonitorSettings, moment: datetime | None) -> bool:
    last = max((place for place, past in enumerate(judged) if kind in past.decision.firing), default=None)
    if last is None:
        return False
    quiet = [past.created for past in judged[last + 1 :]] + ([] if moment is None else [moment])
    return _windows([judged[last].created, *quiet], policy) - 1 < policy.clear_after


def _windows(moments: Sequence[datetime], policy: MonitorSettings) -> int:
    """How many of these looks were at other accidents: those too near to the one before were at the same."""
    count, last = 0, None
    for moment in moments:
        if last is None or abs(moment - last) >= timedelta(hours=policy.apart_hours):
            count, last = count + 1, moment
    return count


def _action(
    now: Measurements,
    firing: Sequence[Kind],
    active: Sequence[Kind],
    mine: Sequence[Past],
    history: Sequence[Past],
    policy: MonitorSettings,
    moment: datetime,
) -> tuple[Action, list[str]]:
    if not active:
        return "keep", ["Nothing has changed that matters."]
    action: Action = "recalibrate" if _only_calibration(now, policy) and not now.new_years else "retrain"
    if action == "recalibrate":
        wanted = "The ranking holds and the probabilities do not: fit the calibration again."
    else:
        wanted = _why_retrain(now, firing, mine, policy, moment)
    if not wanted:
        return "alert", []
    caller = None if "new_year" in firing else _one_caller(action, now.performance)
    if caller:
        alone = "one caller teaches nothing, unless its labels are given with the scope `correct`"
        return "alert", [f"{wanted} But nothing is lost without {caller}: {alone}."]
    broken = now.drift.broken if now.drift else ()
    if broken:
        return "alert", [f"{wanted} But {_names(broken)} must be mended first: a broken field is not learnt."]
    if waiting := _cooling(action, history, policy, moment):
        return "alert", [f"{wanted} But {waiting}"]
    return action, [wanted]


def _one_caller(action: Action, performance: PerformanceMeasures | None) -> str | None:
    """Return the caller without whom there is no reason for it, if there is one."""
    if performance is None:
        return None
    if action == "recalibrate":
        return performance.calibration_gap.hangs_on if performance.calibration_gap else None
    return performance.one_caller


def _only_calibration(now: Measurements, policy: MonitorSettings) -> bool:
    """Whether the probabilities are off by more than chance, and nothing else is lost."""
    performance, limits = now.performance, policy.recalibrate
    gap = performance.calibration_gap if performance else None
    if performance is None or limits is None or gap is None:
        return False
    return (
        performance.accidents >= limits.min_labels
        and gap_to_mend(gap, policy)
        and not performance.ranking_lost
        and not (gap.hangs_on and performance.proven)  # what is lost for all is no matter of this gap
    )


def _why_retrain(
    now: Measurements,
    firing: Sequence[Kind],
    mine: Sequence[Past],
    policy: MonitorSettings,
    moment: datetime,
) -> str:
    if "new_year" in firing:
        return f"Labels of {', '.join(map(str, now.new_years))} have come in: train on them too."
    if "performance" not in firing:
        return ""
    if {"features", "predictions"} & set(firing):
        return "Drift and a performance loss together: train again."
    lost = takewhile(
        lambda past: "performance" in past.decision.firing and past.one_caller is None,
        reversed([p for p in mine if p.judged]),
    )
    if _windows([moment, *(past.created for past in lost)], policy) >= policy.confirm:
        return f"A performance loss in {policy.confirm} windows in a row: train again."
    return ""


def _cooling(action: Action, history: Sequence[Past], policy: MonitorSettings, moment: datetime) -> str:
    """Whether the same was decided lately; what is in the future (a clock moved back) counts as just now."""
    done = (past for past in reversed(history) if past.decision.action == action and past.completed)
    last = next((past.created for past in done), None)
    if last is None:
        return ""
    days = policy.recalibrate.cooldown_days if action == "recalibrate" and policy.recalibrate else None
    until = min(last, moment) + timedelta(days=policy.cooldown_days if days is None else days)
    if moment >= until:
        return ""
    noun = {"retrain": "retraining", "recalibrate": "recalibration"}[action]
    return f"the last {noun} was decided on {last:%Y-%m-%d}: none before {until:%Y-%m-%d} (cooldown_days)."


def _findings(now: Measurements, firing: Sequence[Kind]) -> list[str]:
    """Return a sentence for each kind that was found."""
    drift, performance = now.drift, now.performance
    sentences = []
    if drift is not None:
        sentences += _drift_words(drift, firing)
    if performance is not None and "performance" in firing:
        sentences.append(_loss_words(performance))
    return sentences


def _drift_words(drift: DriftMeasures, firing: Sequence[Kind]) -> list[str]:
    words = []
    if "missing" in firing:
        gone = f" Nothing is left of {_names(drift.broken)}." if drift.broken else ""
        words.append(f"Known less or more often than before: {_names(drift.missing)}.{gone}")
    if "features" in firing:
        words.append(
            f"{len(drift.drifted)} of {drift.compared} features have drifted: {_names(drift.drifted)}."
        )
    if "predictions" in firing:
        words.append(
            f"The predictions have drifted: mean P(severe) {drift.mean_window:.1%}, "
            f"before {drift.mean_reference:.1%}."
        )
    return words


def _loss_words(performance: PerformanceMeasures) -> str:
    if not performance.losses:
        return _gap_words(performance)
    parts = [
        f"{figure.metric} {figure.value:.3f}, expected {figure.expected:.3f}"
        + f" (not without {figure.hangs_on})" * (figure.hangs_on is not None)
        for figure in performance.losses
    ]
    return f"Performance is lost on {performance.accidents:,} labelled accidents: {'; '.join(parts)}."


def _gap_words(performance: PerformanceMeasures) -> str:
    gap = performance.calibration_gap
    return (
        ""
        if gap is None
        else (
            f"Of {performance.accidents:,} labelled accidents more or fewer were severe than predicted: "
            f"calibration gap {gap.value:+.3f}."
        )
    )


def _still(held: Sequence[Kind]) -> list[str]:
    return (
        [f"Found in an earlier window and not yet quiet for long enough: {', '.join(held)}."] if held else []
    )


def _clock(history: Sequence[Past]) -> list[str]:
    count = sum(past.misdated for past in history)
    return [
        f"{count} earlier looks are dated in the future (a clock was ahead): each counts as of the one after."
    ] * bool(count)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
