"""Show ZenML's dashboard of this project's store until Ctrl-C: `python -m stacks.dashboard [--port N]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from stacks.environment import prepare_environment

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Become `zenml login --local --blocking`, with this project's environment.

    Blocking, because the daemon of a plain `zenml login --local` leaves the client connected to it, so that
    every later run needs it alive.
    """
    prepare_environment(ROOT)
    skip_survey()
    zenml = str(Path(sys.executable).with_name("zenml"))
    os.execv(zenml, [zenml, "login", "--local", "--blocking", *sys.argv[1:]])


def skip_survey() -> None:
    """Answer no to ZenML's newsletter and survey: it would stand before every page of a local dashboard."""
    from zenml.client import Client

    client = Client()
    client.update_user(
        client.active_user.id,
        updated_email_opt_in=False,
        updated_metadata={"finished_onboarding_survey": True},
    )


if __name__ == "__main__":
    main()
