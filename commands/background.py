"""A process that outlives the command that started it, and can be found and stopped again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from accidents.files import write_whole

STOP_SECONDS = 15


@dataclass(frozen=True)
class Background:
    """`<folder>/<name>.json` says which process it is, `<folder>/<name>.log` what it said."""

    folder: Path
    name: str

    @property
    def log(self) -> Path:
        """Its standard output and error, of this start only."""
        return self.folder / f"{self.name}.log"

    @property
    def _state(self) -> Path:
        return self.folder / f"{self.name}.json"

    def start(self, words: Sequence[str], cwd: Path, environment: Mapping[str, str], url: str) -> None:
        """Start it in a session of its own: closing the terminal does not reach it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        with self.log.open("ab") as log:  # at its end, also after `run.py clean` has shortened it
            process = subprocess.Popen(
                words, cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        state = {"pid": process.pid, "started": psutil.Process(process.pid).create_time(), "url": url}
        write_whole(self._state, json.dumps(state))

    @property
    def url(self) -> str | None:
        """Where it listens, if it runs."""
        return str(self._read()["url"]) if self.process() else None

    def variable(self, name: str) -> str | None:
        """What it was told by a variable of the environment; None if it does not run."""
        process = self.process()
        try:
            return process.environ().get(name) if process else None
        except psutil.Error:
            return None

    def process(self) -> psutil.Process | None:
        """The process, if it runs; another one that has got its number since is not taken for it."""
        state = self._read()
        try:
            process = psutil.Process(int(state["pid"]))
            # The process of a project that this one is a copy of is not ours: it works elsewhere.
            ours = Path(process.cwd()) == self.folder.parent
            same = ours and abs(process.create_time() - float(state["started"])) < 1
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (KeyError, ValueError, TypeError, psutil.Error, OSError):
            return None

    def stop(self) -> bool:
        """Ask it to end, and kill it if it does not; its children too. False if it did not run."""
        process = self.process()
        if process is not None:
            family = [process, *process.children(recursive=True)]
            process.terminate()
            psutil.wait_procs([process], timeout=STOP_SECONDS)
            for left in family:
                if left.is_running():
                    left.kill()
            psutil.wait_procs(family, timeout=STOP_SECONDS)
        self._state.unlink(missing_ok=True)
        return process is not None

    def _read(self) -> dict[str, Any]:
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}
