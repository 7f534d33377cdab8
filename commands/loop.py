"""The loop: look, decide, make a version if need be, promote, deploy, watch, and take back what goes wrong.

Each stage is written into the history as it begins and ends, and what comes next follows from the last entry,
by accidents/monitoring/loop_table.py: a run that finds a loop left in the middle, by a crash or a power cut,
goes on from there. The old champion serves until a new one has proved itself.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape

from accidents.data.sources.labelled_years import labelled_years
from accidents.errors import AccidentsError
from accidents.monitoring.loop_table import MADE_BY, STAGE_OF, Action, next_action
from accidents.monitoring.measurements import MonitorReport
from accidents.monitoring.probation import Verdict
from accidents.params import Params
from accidents.predictions.history import Event, new_loop
from accidents.predictions.leases import Lease
from accidents.predictions.store import PredictionStore
from commands.champion_params import champion_params
from commands.deploy import deploy
from commands.monitor_run import run_monitor
from commands.not_due import NotDueError
from commands.probation import may_try, part_of, walk_up, watch
from commands.project import console
from commands.push import push
from commands.recalibrate import recalibrate
from commands.train import TrainingFacts, train
from commands.trim import trim
from stacks.endpoints import State, deployed_endpoint
from stacks.errors import StackError
from steps.support import champion_and_versions
from steps.support.champion_and_versions import ChampionChangedError


class Loop:
    """One pass over the champion of a stage, on a stack."""

    def __init__(
        self, params: Params, stack: str, store: PredictionStore, lease: Lease, source: str | None = None
    ) -> None:
        """`params`, `source`: of `champion_params`; `lease`: of `LOOP`, held."""
        self.store, self.lease = store, lease
        self.params, self.stack, self.source = params, stack, source
        self.name = champion_and_versions.model_name(params.stage)
        self.loop_id = new_loop()

    def run(self, config: Path | None, given: str | None, act: bool, reason: str) -> MonitorReport:
        """Finish what was left in the middle, heal the endpoint, look and decide, and act on it.

        Without `act` it looks and decides, and raises NotDueError where something was left in the middle.
        """
        try:
            if act:
                self._resume()
                self._heal()
            else:
                self._require_ended()
            self._trim()  # before the look: also one that fails again and again leaves bounded stores
            report = self._look(config, given, reason)
            if report.decision.action in MADE_BY and not act:
                self._say("train", "skipped")
                console.print("Only decided, as asked: nothing was trained.")
            self._follow()
        finally:  # that it failed must be seen too
            push(self.name, self.params.stage)
        return report

    def run_only(
        self, stage: str, config: Path | None, given: str | None, reason: str
    ) -> MonitorReport | None:
        """Do one stage, and leave the next one to whoever asks for it: a scheduler that shows each.

        `monitor` finishes what was left in the middle, as `run` does, looks, and decides; returns its report.

        Raises
        ------
        NotDueError : another stage is due, or none.
        """
        try:
            if stage == "monitor":
                self._resume()
                self._heal()
                self._trim()
                return self._look(config, given, reason)
            self._follow_only(stage)
            return None
        finally:
            push(self.name, self.params.stage)

    def _resume(self) -> None:
        """Go on with a loop that a crash left in the middle."""
        events = self.store.history.unfinished(self.name)
        if not events:
            return
        console.print(f"{_left(events[-1])}: going on with it.")
        self._follow()
        self.params = champion_params(self.params, self.stack, self.source)  # there may be another now

    def _require_ended(self) -> None:
        """Have no loop be in the middle: a look that starts another would have it forgotten."""
        events = self.store.history.unfinished(self.name)
        if events:
            raise NotDueError(
                f"{_left(events[-1])}, and --decide-only goes on with nothing. First "
                "`python run.py --pipeline monitor`, which does."
            )

    def _follow(self) -> None:
        """Do what the table says of the last event, until it says that nothing follows."""
        while events := self.store.history.unfinished(self.name):
            self._do(self._due(events), events)

    def _follow_only(self, stage: str) -> None:
        """Do what is due of a stage; one that has failed, and so ended the loop, is done again."""
        events = self.store.history.newest_loop(self.name)
        due = self._due(events) if events else Action.end
        if events and due == Action.end and (events[-1].stage, events[-1].outcome) == (stage, "failed"):
            due = next(action for action, its in STAGE_OF.items() if its == stage)
        if STAGE_OF[due] != stage:
            raise NotDueError(_why_not_due(stage, events[-1] if events else None, STAGE_OF[due]))
        self._do(due, events)

    def _due(self, events: list[Event]) -> Action:
        last, now = events[-1], self._champion()
        promoted = now is not None and now != _before(events)
        return next_action(last.stage, last.outcome, last.detail.get("action"), promoted)

    def _do(self, action: Action, events: list[Event]) -> None:
        self.loop_id = events[-1].loop_id
        actions = {
            Action.make_version: self._make_version,
            Action.note_promotion: self._note_promotion,
            Action.judge_promotion: self._judge_promotion,
            Action.deploy: self._deploy,
            Action.verify: self._verify,
            Action.roll_back: self._roll_back,
        }
        actions[action](events)

    def _trim(self) -> None:
        trim(self.params.keep, self.store, self.lease)

    def _look(self, config: Path | None, given: str | None, reason: str) -> MonitorReport:
        self.loop_id = new_loop()
        try:
            report = run_monitor(self.params, self.stack, config, given, self.loop_id)
            years = self._years(report)
        except Exception as error:  # who is ended has not failed
            self._say("monitor", "failed", error=_words(error), reason=reason)
            raise
        self._say("monitor", "ok", report.measurements.champion.version, action=report.decision.action,
                  reasons=report.decision.reasons, years=years, source=self.params.data.source,
                  given=given, between=_moments(report), reason=reason)  # fmt: skip
        return report

    def _heal(self) -> None:
        """Deploy a champion again whose server has died; one that somebody stopped stays stopped."""
        endpoint = deployed_endpoint(self.name)
        state = endpoint.state() if endpoint else None
        if state is None or state.state != State.failing:
            return
        console.print(f"{self.name} should be served and is not: {state.reason}", highlight=False)
        self.lease.require()
        try:
            deploy(self.params, self.stack, None, None)
        except (AccidentsError, StackError) as error:
            console.print(f"[red]It could not be deployed again:[/] {escape(_words(error))}")

    def _make_version(self, events: list[Event]) -> None:
        """Make what was decided on: a version that is trained, or recalibrated."""
        look = events[0].detail
        before = (
            next((_before(events) for event in events if event.stage == "train"), None) or self._champion()
        )
        if look["action"] == "recalibrate":
            self._recalibrate(before, look["source"], look.get("given"), look.get("between"))
        else:
            self._retrain(before, look["source"], look["years"])

    def _recalibrate(
        self, before: str | None, source: str, given: str | None, between: list[str] | None
    ) -> None:
        """Fit the champion's calibration again on the labels of the window that was decided on."""
        self._say("train", "started", before=before, how="recalibrate")
        data = self.params.data.model_copy(update={"source": source})
        params = self.params.model_copy(update={"data": data})
        try:
            made = recalibrate(params, self.stack, given, {"loop": self.loop_id}, between)
        except Exception as error:
            self._say("train", "failed", error=_words(error))
            raise AccidentsError(
                f"The recalibration failed: {_words(error)}. The champion stays; the next run tries again."
            ) from error
        self._after_making(made, before)

    def _retrain(self, before: str | None, source: str, years: list[int]) -> None:
        """Train on newer years too; the train pipeline holds it against the champion and promotes or not."""
        known = set(self.params.data.years)
        if not set(years) - known:
            self._say("train", "refused", reason="nothing newer to learn from")
            console.print(
                f"[yellow]Nothing newer to learn from:[/] {source} has no labelled year "
                f"later than {max(known)}. Give one: --pipeline monitor --input YEAR --source FOLDER."
            )
            return
        self._say("train", "started", before=before, years=years)
        data = self.params.data.model_copy(
            update={"source": source, "years": tuple(sorted(known | set(years)))}
        )  # fmt: skip
        params = self.params.model_copy(update={"data": data})
        try:
            made = train(params, self.stack, None, True, {"loop": self.loop_id}, by_loop=True)
        except Exception as error:
            self._say("train", "failed", error=_words(error))
            raise AccidentsError(
                f"The retraining failed: {_words(error)}. The champion stays; the next run tries again."
            ) from error
        self._after_making(made, before)

    def _after_making(self, made: TrainingFacts, before: str | None) -> None:
        verdict = made["decision"]  # has more of a training: the comparison, the gates
        self._say("train", "ok", made["model_version"], before=before, model_version=made["model_version"],
                  champion_version=made["champion_version"],
                  decision={"promote": verdict["promote"], "rule": verdict["rule"],
                            "reason": verdict["reason"]})  # fmt: skip

    def _note_promotion(self, events: list[Event]) -> None:
        """Go on with the new champion if this loop has made it; who was promoted otherwise is left alone."""
        version = str(self._champion())
        if (
            champion_and_versions.made_by_loop(champion_and_versions.version(self.name, version))
            == self.loop_id
        ):
            self._say("promote", "ok", version, before=_before(events), reason="as it turned out")
            return
        self._say("train", "refused", reason=f"version {version} became champion meanwhile")
        console.print(
            f"[yellow]Version {version} became champion meanwhile, and not by this loop:[/] it ends here. "
            "The next look is at that version."
        )

    def _judge_promotion(self, events: list[Event]) -> None:
        """Go on if the candidate is champion now, whatever its training says: it may be long over."""
        made, before, now = events[-1].detail, _before(events), self._champion()
        version, decision = str(made["model_version"]), made["decision"]
        if now == version != before:
            self._say("promote", "ok", version, before=before, reason=decision["reason"])
        else:
            overtaken = f"Version {now} is champion by now." if decision["promote"] else decision["reason"]
            self._say("promote", "refused", version, reason=overtaken)
            self._record(version, promoted="no")

    def _deploy(self, events: list[Event]) -> None:
        """Deploy the new champion, with a growing share of the accidents first where that is asked for."""
        version, before = str(events[-1].version), _before(events)
        endpoint = deployed_endpoint(self.name)
        if endpoint is None:
            self._say("verify", "ok", version, before=before, why="the model is not served on this stack")
            console.print(f"{self.name} is not served on stack {self.stack}: nothing to deploy.")
            return
        self._say("deploy", "started", version, before=before)
        tried: Verdict | None = None
        try:
            if before is not None and may_try(endpoint, self.params, before):
                tried = walk_up(self.params, self.stack, version, before, self.lease)
            if tried is None or tried.stays:
                self.lease.require()
                deploy(self.params, self.stack, None, version)
        except Exception as error:
            self._say("deploy", "failed", version, before=before, error=_words(error))
            return
        if tried is None or tried.stays:  # that it answers all is watched, too
            self._say("deploy", "ok", version, before=before, canary=tried.to_dict() if tried else None)
        else:
            self._conclude(version, before, tried)

    def _verify(self, events: list[Event]) -> None:
        """Watch the first hour since the deployment, which may have begun before a crash."""
        last, before = events[-1], _before(events)
        since = datetime.fromisoformat(last.detail["since"]) if last.stage == "verify" else last.created
        since = min(since, datetime.now(UTC))  # it was written while the clock was ahead
        version = str(last.version)
        self._say("verify", "started", version, before=before, since=since.isoformat())
        walked = any(event.detail.get("canary") for event in events if event.stage == "deploy")
        params = part_of(self.params) if walked else self.params
        self._conclude(version, before, watch(params, self.stack, version, before, since))

    def _conclude(self, version: str, before: str | None, probation: Verdict) -> None:
        """Let the version stay, or have it taken back, as its probation says."""
        seen = probation.to_dict()
        self._say("verify", "ok" if probation.stays else "failed", version, before=before, **seen)
        if probation.stays:
            self._record(version, probation="passed")
            console.print(f"[green]Version {version} stays.[/]")

    def _roll_back(self, events: list[Event]) -> None:
        """Put the version before back, in the registry and at the endpoint; twice does no harm."""
        version, before, why = str(events[-1].version), _before(events), _why(events)
        self._say("rollback", "started", version, before=before, reason=why)
        console.print(f"[red]Version {version} is taken back:[/] {escape(why)}")
        try:
            self._put_back(version)
            deploy(self.params, self.stack, None, None)
        except Exception as error:
            self._say("rollback", "failed", version, before=before, error=_words(error))
            raise AccidentsError(
                f"Version {version} went wrong ({why}) and could not be taken back: {_words(error)}. Mend "
                "that; `python run.py --pipeline monitor` then takes it back before it looks."
            ) from error
        self._say("rollback", "ok", version, before=before, reason=why)
        self._record(version, probation="failed", taken_back=why[:200])

    def _put_back(self, version: str) -> None:
        """Have the registry put back whom a version replaced; who else is champion by now stays."""
        try:
            champion_and_versions.rollback(self.name, version)
        except ChampionChangedError as changed:
            console.print(f"Version {changed.champion} is champion by now, and stays.", highlight=False)

    def _champion(self) -> str | None:
        """Return the number of who is champion now."""
        champion = champion_and_versions.champion(self.name)
        return str(champion.number) if champion else None

    def _years(self, report: MonitorReport) -> list[int]:
        """Years that a retraining would learn from beside the champion's; of its source if one is due."""
        window, known = report.measurements.window, report.measurements.champion.years
        if report.measurements.new_years:
            return list(report.measurements.new_years)
        if report.decision.action != "retrain":  # other looks need no source: it may be on another machine
            return []
        last = int(window.last_month[:4]) if window.last_month else 0
        return list(labelled_years(self.params.data, max(known, default=0), last))

    def _say(self, stage: str, outcome: str, version: str | None = None, **detail: Any) -> None:
        """Write it down, if the loop is still ours: each act of it is written down before it begins."""
        self.lease.require()
        self.store.history.add_event(
            self.loop_id, datetime.now(UTC), self.name, stage, outcome, version, **detail
        )

    def _record(self, version: str, **tags: str) -> None:
        champion_and_versions.record_loop(champion_and_versions.version(self.name, version), **tags)


def _moments(report: MonitorReport) -> list[str] | None:
    """Return the first and last moment of a window of the log; None of files."""
    window = report.measurements.window
    if not window.from_log or window.since is None or window.until is None:
        return None
    return [window.since.isoformat(), window.until.isoformat()]


def _before(events: list[Event]) -> str | None:
    """Return the champion before the loop."""
    return next((event.detail["before"] for event in events if "before" in event.detail), None)


def _left(last: Event) -> str:
    return (
        f"A loop was left in the middle on {last.created:%Y-%m-%d %H:%M} UTC, at {last.stage} "
        f"({last.outcome})"
    )


def _why_not_due(stage: str, last: Event | None, due: str | None) -> str:
    """Say what the last loop waits for instead of a stage."""
    if last is None:
        return f"{stage} is not due: there was no loop yet. It begins with --only monitor."
    ended = f"{last.stage} ({last.detail.get('action') or last.outcome})"
    return f"{stage} is not due: the last loop " + (
        f"has come to {ended}, and {due} follows." if due else f"ended with {ended}."
    )


def _why(events: list[Event]) -> str:
    """Why a version is taken back, however often that has failed."""
    wrong = next(
        event for event in events if event.stage in ("deploy", "verify") and event.outcome == "failed"
    )
    if wrong.stage == "deploy":
        return f"it could not be deployed: {wrong.detail['error']}"
    return "; ".join(wrong.detail["reasons"])


def _words(error: BaseException) -> str:
    """Return the first line of what went wrong that says something."""
    lines = [line for line in str(error).strip().splitlines() if not line.startswith("(raised as a result")]
    return (lines[0] if lines else type(error).__name__)[:500]
