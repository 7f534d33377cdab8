"""# What a new year's accident files lead to.

The files of a year are published in the autumn of the next one.

| DAG | when | tasks |
|---|---|---|
| `accidents_yearly` | 1 December, 06:00 UTC | download → check; announces `accidents_raw_year` |
| `accidents_new_year` | when it is announced | look → train → promote → deploy → verify, or roll_back |

**Which years**: those in the form, else the one before the run's logical date. So a back-fill of
`accidents_yearly` from 2021-12-01 to 2024-12-01 has the files of 2020 to 2023, and a second run of the same
date changes nothing. Years that were announced together, or while a run was under way, are looked at in
their order. A year that the champion has learnt from leads to nothing.

Who has files from elsewhere puts them into a folder, names it as `source`, and starts `accidents_yearly`, or
announces the asset (Assets → Create asset event) with the extra `{"years": "2022-2023", "source": "/baac"}`.
The announcement hands on `years`, `source`, `stack` and `stage`; what it leaves out is the form's default.

When a task fails: docs/alerts.md#airflowtaskfailed. All about it: docs/airflow.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, CronTriggerTimetable, Param, dag, get_current_context, task
from shared_tasks import (
    DEFAULTS,
    LOOP,
    START,
    alert_of_run,
    choices,
    decision,
    follow,
    form,
    options,
    run_py,
    run_py_or_wait,
)

RAW_YEAR = Asset("accidents_raw_year", uri="accidents://raw/year")
YEARS = Param(
    None,
    type=["null", "string", "integer"],
    pattern=r"^ *\d{4}( *- *\d{4})?( *, *\d{4}( *- *\d{4})?)* *$",
    description="Such as 2023, 2021,2023 or 2021-2023. Without: by the run's logical date, or as announced.",
)
SOURCE = Param(
    None,
    type=["null", "string"],
    description="sample, data.gouv or a folder. Without: as in params.yaml, or the champion's.",
)


def source_of(choice: Mapping[str, Any]) -> list[str]:
    """Return the words of a command that name the source, if one was asked for."""
    return ["--source", choice["source"]] if choice["source"] else []


def years_and_source() -> list[str]:
    """Return the words of `run.py data` that name what was asked for."""
    asked = choices()
    return [",".join(str(choice["year"]) for choice in asked), *source_of(asked[0])]


def announcement() -> dict[str, Any]:
    """Return what is told of the years: where their files are, and who is to look at them."""
    years, *_ = years_and_source()
    values = {**choices()[0], "years": years, "year": None}
    return {name: value for name, value in values.items() if value is not None}


def announced(events: Mapping[Asset, Any]) -> list[Any]:
    """Return the announcements that have started the run, and all that came since; none for one by hand.

    Of several that come while a run is under way, Airflow starts the next run for the first alone, and keeps
    the others for the announcement after: here the next year's (apache/airflow issue 56050).
    """
    started = get_current_context()["dag_run"].consumed_asset_events
    return [*events[RAW_YEAR].after(min(event.timestamp for event in started))] if started else []


def look_at(choice: Mapping[str, Any]) -> list[str]:
    """Return the words of the command that looks at a year, and goes through the whole loop."""
    year = ["--input", str(choice["year"]), "--reason", "airflow"]
    return ["--pipeline", "monitor", *year, *source_of(choice), *options(choice)]


@dag(
    schedule=CronTriggerTimetable("0 6 1 12 *", timezone="UTC"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=18),  # above all tries of all tasks, which tell of themselves
    on_failure_callback=alert_of_run,
    default_args=DEFAULTS,
    params=form(years=YEARS, source=SOURCE),
    doc_md=__doc__,
    tags=["accidents", "data"],
)
def accidents_yearly() -> None:
    """Have new years' files, and say so when they are sound."""

    @task(execution_timeout=timedelta(hours=3))
    def download() -> None:
        """Have the years' files here, under the hash that names them."""
        run_py("data", "download", *years_and_source())

    @task(execution_timeout=timedelta(hours=1), outlets=[RAW_YEAR])
    def check(*, outlet_events: Any = None) -> None:
        """Read them as a training would, then announce the years."""
        run_py("data", "check", *years_and_source())
        outlet_events[RAW_YEAR].extra = announcement()

    download() >> check()


@dag(
    schedule=[RAW_YEAR],
    start_date=START,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(days=70),  # above all tries of all tasks, which tell of themselves
    on_failure_callback=alert_of_run,
    default_args=DEFAULTS,
    params=form(years=YEARS, source=SOURCE),
    doc_md=__doc__,
    tags=["accidents", "loop"],
)
def accidents_new_year() -> None:
    """Hold the champion against a new year, and train on it too."""

    # Tries, an hour apart, for longer than another loop may take; of an error it makes no use of them.
    @task(execution_timeout=LOOP, retries=36, inlets=[RAW_YEAR])
    def look(*, inlet_events: Any = None) -> dict[str, Any]:
        """Look at each announced year and decide; it waits for another loop that runs."""
        *before, last = choices(announced(inlet_events))
        for choice in before:
            run_py_or_wait(*look_at(choice))
        its = [*look_at(last), "--only", "monitor"]  # its other stages are tasks
        return decision(run_py_or_wait, its, last)

    follow(look())


accidents_yearly()
accidents_new_year()
