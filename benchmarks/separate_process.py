"""A function in a process of its own: nothing warmed up by what ran before, and its own peak of memory."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accidents.errors import AccidentsError
from accidents.files import ROOT

CORES = 2  # what the targets are stated for


@dataclass(frozen=True)
class Measured:
    """What the function returned, and the most memory its process held, in GiB."""

    result: Any
    peak_gib: float


def measure(function: str, **arguments: Any) -> Measured:
    """Call `module:function` with JSON-ready arguments in a fresh process on two cores.

    Raises AccidentsError if it fails; what it printed on standard error has been seen by then.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "measured.json"
        call = ["benchmarks.separate_process", function, json.dumps(arguments), str(output)]
        words = [sys.executable, "-m", *call]
        done = subprocess.run(words, cwd=ROOT, env=clean_environment(), stdout=subprocess.DEVNULL)
        if done.returncode or not output.exists():
            raise AccidentsError(f"{function} ended with {done.returncode}; its own message stands above.")
        return Measured(**json.loads(output.read_text(encoding="utf-8")))


def clean_environment() -> dict[str, str]:
    """Our environment without what would change the figures: others' stores, and bytecode switched off."""
    slow = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in slow and not name.startswith(("ZENML_", "MLFLOW_"))
    }


def peak_gib() -> float:
    """Return the most memory this process has held so far, in GiB."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        # Not ru_maxrss where this is there: that one begins with what the parent held when it started us.
        kib = int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
    return kib / 2**20


def main(function: str, arguments: str, output: str) -> None:
    """Do the child's side of `measure`."""
    if hasattr(os, "sched_setaffinity"):  # before numpy looks how many cores there are
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    module, name = function.split(":")
    result = getattr(importlib.import_module(module), name)(**json.loads(arguments))
    Path(output).write_text(json.dumps({"result": result, "peak_gib": peak_gib()}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
