"""# What a new year's accident files lead to.

The files of a year are published in the autumn of the next one.

| DAG | when | tasks |
|---|---|---|
| `accidents_yearly` | 1 December, 06:00 UTC | download → check; announces `accidents_raw_year` |
| `accidents_new_year` | when it is announced | look → train → promote → deploy → verify, or roll_back |

**Which year**: the one in the form, else the one before the run's logical date. So a back-fill of
`accidents_yearly` from 2021-12-01 to 2024-12-01 has the files of 2020 to 2023, and a second run of the same
date changes nothing. Years that were announced together are looked at in their order. A year that the
champion has learnt from leads to nothing.

Who has files from elsewhere puts them into a folder, names it as `source`, and starts `accidents_yearly`, or
announces the asset (Assets → Create asset event) with the extra `{"year": 2023}`.

When a task fails: docs/alerts.md#airflowtaskfailed. All about it: docs/airflow.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, CronTriggerTimetable, Param, dag, get_current_context, task
from shared_tasks import DEFAULTS, START, decision, follow, form, options, run_py, run_py_or_wait

RAW_YEAR = Asset("accidents_raw_year", uri="accidents://raw/year")
YEAR = Param(
    None,
    type=["null", "integer"],
    minimum=2005,
    maximum=2100,
    description="Without: by the run's logical date, or as announced.",
)
SOURCE = Param(
    None,
    type=["null", "string"],
    description="sample, data.gouv or a folder. Without: as in params.yaml, or the champion's.",
)


def given_source() -> list[str]:
    """Return the words of a command that name the source."""
    source = get_current_context()["params"]["source"]
    return ["--source", source] if source else []


def year_of_run() -> int:
    """Return the year in the form, else the one before the run's date."""
    context = get_current_context()
    date = context.get("logical_date") or context["dag_run"].run_after
    return int(context["params"]["year"] or date.year - 1)


def announced_years() -> list[int]:
    """Return the year in the form, else those that were announced, in their order."""
    context = get_current_context()
    if context["params"]["year"]:
        return [int(context["params"]["year"])]
    events = context["triggering_asset_events"][RAW_YEAR] if context["dag_run"].consumed_asset_events else []
    years = sorted({int(event.extra["year"]) for event in events if event.extra and event.extra.get("year")})
    return years or [year_of_run()]


@dag(
    schedule=CronTriggerTimetable("0 6 1 12 *", timezone="UTC"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args=DEFAULTS,
    params=form(year=YEAR, source=SOURCE),
    doc_md=__doc__,
    tags=["accidents", "data"],
)
def accidents_yearly() -> None:
    """Have a new year's files, and say so when they are sound."""

    @task(execution_timeout=timedelta(hours=3))
    def download() -> None:
        """Have the year's files here, under the hash that names them."""
        run_py("data", "download", str(year_of_run()), *given_source())

    @task(execution_timeout=timedelta(hours=1), outlets=[RAW_YEAR])
    def check(*, outlet_events: Any = None) -> None:
        """Read them as a training would, then announce the year."""
        run_py("data", "check", str(year_of_run()), *given_source())
        outlet_events[RAW_YEAR].extra = {"year": year_of_run()}

    download() >> check()


@dag(
    schedule=[RAW_YEAR],
    start_date=START,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=24),
    default_args=DEFAULTS,
    params=form(year=YEAR, source=SOURCE),
    doc_md=__doc__,
    tags=["accidents", "loop"],
)
def accidents_new_year() -> None:
    """Hold the champion against a new year, and train on it too."""

    @task(execution_timeout=timedelta(hours=12), retries=12)
    def look() -> dict[str, Any]:
        """Look at each announced year and decide; it waits for another loop that runs."""
        for year in announced_years():
            look_at = ["--pipeline", "monitor", "--only", "monitor", "--input", str(year)]
            run_py_or_wait(*look_at, "--reason", "airflow", *given_source(), *options())
        return decision()

    follow(look())


accidents_yearly()
accidents_new_year()
