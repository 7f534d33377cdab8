"""From what was measured, the history and the policy to a decision, which goes into the history."""

from datetime import UTC, datetime
from typing import Annotated, Any

from zenml import log_metadata, step

from accidents.monitoring.loop_decision import decide, why_not_judged
from accidents.monitoring.measurements import Champion, Measurements, MonitorReport
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.window import Window, new_years
from steps.folder import Folder
from steps.support.prediction_store import opened_store
from steps.support.references import VersionReference


@step(enable_cache=False)  # it reads the history and writes into it
def decide_action(
    window: Folder,
    bundle: Folder,
    version: VersionReference,
    performance: dict[str, Any],
    policy: MonitorSettings,
    loop_id: str,
    drift: dict[str, Any] | None = None,
    labels: dict[str, Any] | None = None,
) -> Annotated[MonitorReport, "monitor_report"]:
    """Return what was measured and what follows from it."""
    looked_at = Window.load(window.path)
    champion = Champion.of(version.load(bundle), version.name, version.version)
    labels = labels or {"callers": (), "notes": ()}
    now = Measurements.model_validate(
        {
            "champion": champion,
            "window": looked_at.facts,
            "drift": drift or None,
            "performance": performance["performance"],
            "new_years": new_years(looked_at.facts, champion.years),
            "labels": labels["callers"],
            "notes": (*looked_at.notes, *performance["notes"], *labels["notes"]),
        }
    )
    moment = datetime.now(UTC)
    with opened_store() as store:
        past = store.history.past(champion.stage, policy, champion.digest, moment)
        decision = decide(now, past, policy, moment)
        report = MonitorReport(created=moment, measurements=now, decision=decision)
        store.history.add_run(report, judged=not why_not_judged(now, policy), loop_id=loop_id)
    log_metadata({"decision": decision.action, "reasons": list(decision.reasons)})
    return report
