"""`python -m serving.api`: serve until told to stop. Run it in the project's folder."""

from __future__ import annotations

import os
import sys

from serving.api.processes import METRICS_FOLDER, WORKER

if __name__ == "__main__":
    if sys.argv[1:2] != [WORKER] and os.environ.pop(METRICS_FOLDER, ""):
        # Prometheus' client would look for it as it is imported, which the next line does.
        print(
            f"{METRICS_FOLDER} of the shell is not used: our processes have a folder of their own.",
            file=sys.stderr,
        )
    from serving.api.serve import main

    sys.exit(main(tuple(sys.argv[1:])))
