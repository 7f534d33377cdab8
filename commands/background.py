"""A server that outlives the command that started it, and can be found and stopped again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from accidents.files import write_whole
from stacks.processes import StartedProcess, end, read_process, start


@dataclass(frozen=True)
class _Server(StartedProcess):
    """`url`: where it listens."""

    url: str


@dataclass(frozen=True)
class Background:
    """`<folder>/<name>.json` says which process it is, `<folder>/<name>.log` what it said.

    It works in the project, where `folder` is: that of a copy of the project is another one.
    """

    folder: Path
    name: str

    @property
    def log(self) -> Path:
        """Its standard output and error, of this start only."""
        return self.folder / f"{self.name}.log"

    @property
    def _state(self) -> Path:
        return self.folder / f"{self.name}.json"

    def start(self, words: Sequence[str], environment: Mapping[str, str], url: str) -> None:
        """Start it; closing the terminal does not reach it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        process = start(words, self.folder.parent, environment, self.log)
        server = _Server(process.pid, psutil.Process(process.pid).create_time(), url)
        write_whole(self._state, json.dumps(asdict(server)))

    @property
    def url(self) -> str | None:
        """Where it listens, if it runs."""
        server = self._read()
        return server.url if server and server.process() else None

    def variable(self, name: str) -> str | None:
        """Return what it was told by a variable of the environment; None if it does not run."""
        process = self.process()
        try:
            return process.environ().get(name) if process else None
        except psutil.Error:
            return None

    def process(self) -> psutil.Process | None:
        """Return the process, if it runs."""
        server = self._read()
        return server.process() if server else None

    def stop(self) -> bool:
        """End it. False if it did not run."""
        process = self.process()
        if process is not None:
            end(process)
        self._state.unlink(missing_ok=True)
        return process is not None

    def _read(self) -> _Server | None:
        return read_process(self._state, _Server, self.folder.parent)
