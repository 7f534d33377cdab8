"""Grow two trees on 2 M rows that are made as they are read, in a process that may take little memory.

Its arguments: `by-column`, with less than the rows' size, or `by-row`; the stage. Prints the size of what the
trees learn from, in bytes, and what the process may take beyond what it had.
"""

from __future__ import annotations

import resource
import sys

import lightgbm  # noqa: F401 - before memory is counted
import numpy as np

from accidents.features import feature_names
from accidents.training.fit_bags import boost, bytes_by_row
from accidents.training.model_settings import ModelSettings
from accidents.training.place_encoder import PLACE
from accidents.training.trained_model import Floats, tree_columns
from accidents.training.tree_inputs import LabelledRows

ROWS, AT_ONCE = 2_000_000, 50_000
BESIDE = 100 * 2**20  # bytes: a stretch of rows, and those that bounds are found on
WAY, STAGE = sys.argv[1:]
NAMES = feature_names(STAGE)
SETTINGS = ModelSettings(n_estimators=2, n_jobs=1)


def made(number: int) -> Floats:
    """Return one stretch, the same each time."""
    rng = np.random.default_rng(number)
    rows = rng.integers(0, 200, size=(AT_ONCE, len(NAMES))).astype(np.float32)
    rows[:, NAMES.index("latitude")] = rng.uniform(43, 50, AT_ONCE)
    rows[:, NAMES.index("longitude")] = rng.uniform(-1, 6, AT_ONCE)
    return rows


def read(start: int, stop: int) -> Floats:
    """Return rows from `start` up to `stop`."""
    numbers = range(start // AT_ONCE, (stop - 1) // AT_ONCE + 1)
    parts = [made(n)[max(start - n * AT_ONCE, 0) : stop - n * AT_ONCE] for n in numbers]
    return np.concatenate(parts)


def taken() -> int:
    """Return bytes of data that this process has asked the system for."""
    with open("/proc/self/statm", encoding="ascii") as status:
        return int(status.read().split()[5]) * resource.getpagesize()


if __name__ == "__main__":
    at = [NAMES.index(name) for name in PLACE]
    place = np.concatenate([made(n)[:, at] for n in range(ROWS // AT_ONCE)])
    y = (np.random.default_rng(0).random(ROWS) < 0.3).astype(np.float32)
    learnt, columns = int(ROWS * (1 + SETTINGS.masked)), len(tree_columns(NAMES))
    size = learnt * columns * 4
    by_row = int(learnt * bytes_by_row(columns))
    allowed = size * 98 // 100 if WAY == "by-column" else by_row + BESIDE
    resource.setrlimit(resource.RLIMIT_DATA, (taken() + allowed,) * 2)
    memory = 0 if WAY == "by-column" else by_row * 1.01
    rows = LabelledRows(NAMES, place, y, read)
    grown = boost(rows, np.arange(ROWS), SETTINGS, STAGE, 1, 0, memory=memory)
    assert f"[force_row_wise: {int(WAY == 'by-row')}]" in grown.text
    print(size, allowed)
