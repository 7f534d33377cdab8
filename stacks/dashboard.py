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
    zenml = str(Path(sys.executable).with_name("zenml"))
    os.execv(zenml, [zenml, "login", "--local", "--blocking", *sys.argv[1:]])


if __name__ == "__main__":
    main()
