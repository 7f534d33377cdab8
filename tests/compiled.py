"""What numba compiles of accidents/, made once, beside the code: copies of the project take it along."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

import numpy as np

from accidents.lightgbm.quick_scorer import FastTrees
from accidents.lightgbm.shap_values import Explainer
from tests.conftest import ROOT


@cache
def compile_once() -> None:
    """Score and explain, as a training and a model server do: seven seconds, if it is not there yet."""
    import lightgbm

    rows = np.random.default_rng(1).random((200, 4), dtype=np.float32)
    params = {"objective": "binary", "num_leaves": 4, "verbose": -1, "num_threads": 1}
    text = lightgbm.train(params, lightgbm.Dataset(rows, rows[:, 0] > 0.5), 2).model_to_string()
    FastTrees(text).score(rows)
    for some in (rows, rows[:1]):
        Explainer(text).contributions(some)


def take_compiled(folder: Path) -> None:
    """Give a clone what was compiled of the same files, which numba knows by their time."""
    compile_once()
    for compiled in (ROOT / "accidents").rglob("__pycache__/*.nb[ic]"):
        source = compiled.parent.parent / f"{compiled.name.partition('.')[0]}.py"
        target = folder / source.relative_to(ROOT)
        if target.read_bytes() == source.read_bytes():
            os.utime(target, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
            (target.parent / "__pycache__").mkdir(exist_ok=True)
            shutil.copy(compiled, target.parent / "__pycache__")
