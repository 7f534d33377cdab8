"""What a step finds in its environment: handed over in a file of its own, which it deletes as it starts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from stacks.components.image_layout import CODE

_NAME = "environment.json"


def hand_over(environment: Mapping[str, str], temporary: Path) -> dict[str, str]:
    """Write what a step is to find, for its owner alone; return what the engine is told instead.

    Parameters
    ----------
    temporary : the step's /tmp, on this machine.
    """
    file = temporary / _NAME
    file.unlink(missing_ok=True)  # of a step whose container never started
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as written:
        json.dump(dict(environment), written)
    return {
        "ACCIDENTS_STEP_ENVIRONMENT": f"/tmp/{_NAME}",
        "PYTHONPATH": f"{CODE}/stacks/components/local_image/at_start",
    }
