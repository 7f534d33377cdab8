"""A window of accidents: of the prediction log, or of a year's files, in one form.

A window's frame has the features of the stage (float32, NaN: not known), `year`, `month`, `severe` (1, 0, or
NaN while there is no label), `p_severe` as the champion gives it, and `accident_id`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.bundle import Bundle
from accidents.monitoring.callers import NO_KEY, at_most
from accidents.monitoring.dated_ahead import latest
from accidents.monitoring.measurements import WindowFacts
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.scoring.score import probabilities

LOG = "prediction log"
Key = tuple[str | None, str]  # caller and accident_id, or no caller and request_id
MONTHS = 12


@dataclass(frozen=True)
class Window:
    """Its accidents, what they are, and what was noted while they were read.

    One of a large log has a part of its accidents, drawn, and further ones with an outcome.
    """

    frame: pd.DataFrame
    facts: WindowFacts
    notes: tuple[str, ...] = ()

    @property
    def drawn(self) -> pd.DataFrame:
        """The accidents that stand for all of the window; the others were read for their outcome alone."""
        return self.frame[self.frame["drawn"]] if "drawn" in self.frame else self.frame

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        self.frame.to_parquet(folder / "window.parquet", index=False)
        (folder / "facts.json").write_text(self.facts.model_dump_json(), encoding="utf-8")
        (folder / "notes.json").write_text(json.dumps(self.notes), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Window:
        """Read what `save` wrote."""
        facts = WindowFacts.model_validate_json((folder / "facts.json").read_text(encoding="utf-8"))
        notes = json.loads((folder / "notes.json").read_text(encoding="utf-8"))
        return cls(pd.read_parquet(folder / "window.parquet"), facts, tuple(notes))


def log_window(
    rows: Iterable[Mapping[str, Any]],
    bundle: Bundle,
    since: datetime | None,
    until: datetime,
    drawn_of: int | None = None,
    fewer_of: Collection[str | None] = (),
) -> Window:
    """Return the predictions of the bundle's stage, as `PredictionLog.read` gives them.

    Of several predictions of one accident the last counts: the call goes on, and more is known. An accident
    whose predictions were labelled differently has no label here. The champion's probability is computed
    anew, since another version may have given the answer. `drawn_of`: how many predictions there are, if the
    rows are a drawn part of them. `fewer_of`: callers of whom a smaller part was drawn.
    """
    names, known = bundle.features, set(bundle.features)
    kept: dict[Key, dict[str, Any]] = {}
    values: dict[Key, npt.NDArray[np.float32]] = {}
    labels: dict[Key, set[bool]] = {}
    strange, absent, read, other = set[str](), set[str](), 0, 0
    for row in rows:
        if row["stage"] != bundle.stage:
            other += 1
            continue
        read += 1
        # An id is its caller's own.
        accident = (row["accident_id"] and row.get("key_name"), row["accident_id"] or row["request_id"])
        given = row["features"]
        if given.keys() != known:
            strange |= given.keys() - known
            absent |= known - given.keys()
        values[accident] = np.array([given.get(name) for name in names], dtype=np.float32)  # None: NaN
        kept[accident] = _facts_of(row) | {"giver": kept.get(accident, {}).get("giver", "")}
        if row["severe"] is not None:
            labels.setdefault(accident, set()).add(bool(row["severe"]))
            if not row.get("label_trusted"):
                kept[accident]["giver"] = row.get("labelled_by") or NO_KEY
    frame = _frame(kept, values, labels, names)
    frame["p_severe"] = _scores(bundle, frame)
    contradicting = sum(len(outcomes) > 1 for outcomes in labels.values())
    drawn = int(frame["drawn"].sum())
    notes = [
        *_drawn_only(drawn_of, fewer_of, drawn, len(frame)),
        f"{read - len(kept):,} earlier predictions of the same accidents do not count." * (read > len(kept)),
        f"{other:,} predictions of another stage are left out." * bool(other),
        f"{contradicting:,} accidents have labels that contradict each other: none of them counts."
        * bool(contradicting),
        f"Features that the champion does not know: {_listed(strange)}." * bool(strange),
        f"Features of the champion that were not logged: {_listed(absent)}." * bool(absent and read),
        *_served_otherwise(frame, bundle),
    ]
    first, last = _months(frame)
    facts = WindowFacts(
        source=LOG,
        from_log=True,
        since=since if since is not None else _edge(frame, "min"),
        until=until,
        rows=drawn,
        labelled=int(frame["severe"].notna().sum()),
        predictions=drawn_of,
        first_month=first,
        last_month=last,
    )
    return Window(frame, facts, tuple(filter(None, notes)))


def _drawn_only(drawn_of: int | None, fewer_of: Collection[str | None], drawn: int, read: int) -> list[str]:
    if drawn_of is None:
        return []
    less = sorted(name or NO_KEY for name in fewer_of)
    fewer = f" Of {', '.join(less)} fewer: one caller is at most its share of them." * bool(less)
    more = f", and {read - drawn:,} more for their outcome" * (read > drawn)
    return [f"Of {drawn_of:,} predictions {drawn:,} accidents were drawn{more}.{fewer}"]


def capped(window: Window, policy: MonitorSettings, seed: int) -> Window:
    """Return a window of the log without what is beyond one caller's share; what was left out is noted.

    Among what was drawn, and among what was read for its outcome, each by itself.
    """
    callers, drawn = (window.frame[name].to_numpy() for name in ("caller", "drawn"))
    kept, notes = np.ones(len(callers), dtype=bool), list[str]()
    for part in (drawn, ~drawn):
        kept[part], remarks = at_most(callers[part].astype(object), policy.per_caller, policy.min_rows, seed)
        notes += remarks
    if not notes:
        return window
    frame = window.frame[kept].reset_index(drop=True)
    first, last = _months(frame)
    labelled = int(frame["severe"].notna().sum())
    changed = {
        "rows": int(frame["drawn"].sum()),
        "labelled": labelled,
        "first_month": first,
        "last_month": last,
    }
    return Window(frame, window.facts.model_copy(update=changed), (*window.notes, *notes))


def file_window(
    features: pd.DataFrame, bundle: Bundle, source: str, set_aside: int, synthetic: bool
) -> Window:
    """Return the accidents of a year's files, as `build_features` gives them."""
    frame = features.copy()
    frame["p_severe"] = _scores(bundle, frame)
    first, last = _months(frame)
    facts = WindowFacts(
        source=source,
        from_log=False,
        rows=len(frame),
        labelled=int(frame["severe"].notna().sum()),
        set_aside=set_aside,
        first_month=first,
        last_month=last,
        complete_years=_complete_years(frame),
        synthetic=synthetic,
    )
    return Window(frame, facts)


def new_years(facts: WindowFacts, known: Sequence[int]) -> tuple[int, ...]:
    """Whole years of labels that are later than any the champion was made with."""
    return tuple(year for year in facts.complete_years if year > max(known, default=0))


def unlearnt(window: Window, bundle: Bundle) -> pd.DataFrame:
    """Return labelled accidents that the champion has not learnt from: others flatter it.

    Neither its trees, months of which are known, nor its calibration, where that was fitted again.
    """
    labelled = window.frame[window.frame["severe"].notna()]
    recalibrated = bundle.facts.get("recalibrated", {})
    labelled = labelled[~_month_of(labelled).isin(recalibrated.get("file_months", []))]
    until = recalibrated.get("log_until")
    if "created" in labelled and until and not of_a_wrong_clock(bundle, window.facts.until):
        labelled = labelled[labelled["created"] > pd.Timestamp(until)]
    if bundle.facts["synthetic"] and window.facts.synthetic is not True:
        return labelled
    return labelled[~_month_of(labelled).isin(bundle.facts["learnt_from"])]


def of_a_wrong_clock(bundle: Bundle, now: datetime | None) -> tuple[str, ...]:
    """Say that a bundle was recalibrated on labels "of the future": when it learnt is not known then."""
    until = bundle.facts.get("recalibrated", {}).get("log_until")
    if not until or now is None or datetime.fromisoformat(until) <= latest(now):
        return ()
    return (
        f"The champion was recalibrated on labels of predictions until {until[:10]}, under a clock that was "
        "ahead: all labels of the log count, also those that it may have learnt from.",
    )


def _facts_of(row: Mapping[str, Any]) -> dict[str, Any]:
    accident = row["accident"]
    created = row["created"]
    return {
        "year": accident.get("year") or created.year,
        "month": accident.get("month") or created.month,
        "created": created,
        "digest": row["model_digest"],
        "served": row["probability"],
        "caller": row.get("key_name") or NO_KEY,
        "drawn": row.get("drawn", True),
    }


def _frame(
    kept: Mapping[Key, Mapping[str, Any]],
    values: Mapping[Key, npt.NDArray[np.float32]],
    labels: Mapping[Key, set[bool]],
    names: Sequence[str],
) -> pd.DataFrame:
    matrix = np.array([values[key] for key in kept], dtype=np.float32).reshape(len(kept), len(names))
    severe = [
        float(min(outcomes)) if len(outcomes := labels.get(key, set())) == 1 else np.nan for key in kept
    ]
    names_of_facts = ["year", "month", "created", "digest", "served", "caller", "drawn", "giver"]
    facts = pd.DataFrame(list(kept.values()), columns=names_of_facts, index=range(len(kept)))
    facts["drawn"] = facts["drawn"].astype(bool)
    frame = pd.DataFrame(matrix, columns=list(names))
    frame["accident_id"] = pd.Series([name for _, name in kept], dtype="str")
    frame["severe"] = np.array(severe, dtype=np.float32)
    return pd.concat([frame, facts], axis=1)


def _scores(bundle: Bundle, frame: pd.DataFrame) -> np.ndarray:
    if frame.empty:
        return np.empty(0)
    return probabilities(bundle.model, frame[bundle.features].to_numpy(dtype=np.float32))


def _served_otherwise(frame: pd.DataFrame, bundle: Bundle) -> list[str]:
    """Answers of the champion itself that its bundle does not give: the serving path would be broken."""
    own = frame[frame["digest"] == bundle.digest] if len(frame) else frame
    wrong = int((np.abs(own["served"] - own["p_severe"]) > 1e-5).sum()) if len(own) else 0
    return [f"{wrong:,} answers of the champion are not what its bundle gives: look at serving."] * bool(
        wrong
    )


def _month_of(frame: pd.DataFrame) -> pd.Series:
    return (
        frame["year"].astype("Int64").astype("str")
        + "-"
        + frame["month"].astype("Int64").astype("str").str.zfill(2)
    )


def _months(frame: pd.DataFrame) -> tuple[str | None, str | None]:
    known = frame[frame["year"].notna() & frame["month"].notna()]
    months = _month_of(known)
    return (str(months.min()), str(months.max())) if len(known) else (None, None)


def _complete_years(frame: pd.DataFrame) -> tuple[int, ...]:
    """Years with labelled accidents in each of their months."""
    labelled = frame[frame["severe"].notna() & frame["month"].notna()]
    months = labelled.groupby("year")["month"].nunique()
    return tuple(int(year) for year in months[months == MONTHS].index)


def _edge(frame: pd.DataFrame, which: str) -> datetime | None:
    if frame.empty:
        return None
    edge: datetime = getattr(frame["created"], which)().to_pydatetime()
    return edge


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)[:10])
