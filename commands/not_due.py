"""What a stage of the loop says that is asked for when another one is due."""

from __future__ import annotations

from accidents.errors import AccidentsError


class NotDueError(AccidentsError):
    """What was asked for is not due: nothing is wrong, and a scheduler skips it."""

    exit_code = 99  # what Airflow's operators for commands take for "skip"
