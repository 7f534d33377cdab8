"""# Is the model still good?

Every day at 05:17 UTC the champion is held against the prediction log's last 30 days.

| decision | what follows |
|---|---|
| `keep`, `alert` | nothing; the other tasks are skipped |
| `recalibrate`, `retrain` | train → promote → deploy → verify |
| a version that goes wrong | roll_back: the one before serves again, and the run is red |

Each task is one stage of the loop, `run.py --pipeline monitor --only STAGE`. A task that was killed goes on
where it was. While another loop runs (a person's, an alert's), tasks are skipped: it does what is due.

A run looks at **now**, whatever its date. So there is no catch-up, and a back-fill would only look at the
same predictions again, which counts as one window. What past months would have led to:
`run.py replay 2005-2024`.

When a task fails: docs/alerts.md#airflowtaskfailed. All about it: docs/airflow.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task
from shared_tasks import DEFAULTS, LOOP, START, alert_of_run, choices, decision, follow, form, only, run_py


@dag(
    schedule=CronTriggerTimetable("17 5 * * *", timezone="UTC"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(days=14),  # above all tries of all tasks, which tell of themselves
    on_failure_callback=alert_of_run,
    default_args=DEFAULTS,
    params=form(),
    doc_md=__doc__,
    tags=["accidents", "loop"],
)
def accidents_daily() -> None:
    """Look at the champion, and do what follows."""

    @task(execution_timeout=LOOP)
    def monitor() -> dict[str, Any]:
        """Finish what was left in the middle, look, and decide."""
        (choice,) = choices()
        return decision(run_py, only("monitor", choice), choice)

    follow(monitor())


accidents_daily()
