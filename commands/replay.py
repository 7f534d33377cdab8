"""`replay YEARS`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accidents.errors import SettingsError
from accidents.files import whole_folder
from accidents.params import Params
from commands.project import ROOT, console, on_stack
from commands.raw_files import hand_over, raw_data
from commands.reports_index import renew_index
from stacks.definition import read_stack

if TYPE_CHECKING:
    from accidents.replay.records import Replay

FOLDER = ROOT / "reports" / "replay"


def replay(params: Params, stack: str, config: Path | None, years: Sequence[int]) -> None:
    """Check everything, have the data, walk through the years, show what would have been decided.

    `years` are also those of `params.data`.
    """
    from accidents.replay.walk import check_years
    from pipelines.config import load_config

    started = time.monotonic()
    settings = load_config("replay", stack, ROOT / "configs", config)
    check_years(years)
    if "data_validator" not in read_stack(stack).components:
        raise SettingsError(
            f"A replay needs a data validator to find drift, and stack {stack} has none: use --stack local."
        )
    params, raw_version = raw_data(params)
    on_stack(stack)
    hand_over(raw_version, params)
    from accidents.replay.records import Replay
    from pipelines import runs
    from pipelines.replay import replay as pipeline

    run = runs.run(pipeline, settings, params=params, raw_version=raw_version)
    run.export([("replay_months", "replay")], whole_folder(FOLDER))
    renew_index(FOLDER, stack, run.commit)
    _show(Replay.model_validate(run.load("replay_months", "records")), stack, time.monotonic() - started)


def _show(replayed: Replay, stack: str, seconds: float) -> None:
    """Print what was decided how often, the trainings, and where the files are."""
    for line in [*_lines(replayed), f"Picture: reports/{FOLDER.name}/replay.png; beside it report.html, "
                 "replay.csv, replay.json", f"{seconds:.0f} s on stack {stack}."]:  # fmt: skip
        console.print(line, highlight=False, markup=False)


def _lines(replayed: Replay) -> list[str]:
    from accidents.monitoring.measurements import ACTIONS

    what = "the synthetic sample" if replayed.synthetic else replayed.source
    months = [record for record in replayed.records if record.window == "month"]
    decided = Counter(record.action for record in months)
    kinds = Counter(kind for record in months for kind in record.firing)
    trained, serving = len(replayed.trainings), sum(training.serves for training in replayed.trainings)
    first = replayed.trainings[0]
    lines = [
        f"\n{replayed.years[0]} to {replayed.years[-1]} of {what}, replayed",
        f"First model: trained in {first.month} on {', '.join(map(str, first.years))}; "
        f"{len(months)} months watched since.",
        "Months: " + ", ".join(f"{decided[action]} {action}" for action in ACTIONS) + ".",
        "Found in months: "
        + (", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in kinds.most_common()) or "nothing")
        + ".",
        f"{trained} models trained, {serving} of them became champion.",
    ]
    if replayed.never_labelled:
        never = ", ".join(map(str, replayed.never_labelled))
        lines.append(f"Without a whole year of labels, so never learnt from: {never}.")
    return lines
