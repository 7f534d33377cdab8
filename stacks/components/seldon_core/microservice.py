"""Models that Seldon's own Python server serves on this machine: what is known of them, how they switch.

NAME.json          what is served, and the process that does it
NAME.PORT.log      what that says
bundles/DIGEST/    code/HASH/    numba/    environments/
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stacks.components.mlserver.client import probabilities_of, require_golden
from stacks.components.mlserver.folder import ServerFolder, bundle_digest, copy_folder, write_json
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.microservice_process import (
    Microservice,
    end_all,
    last_lines,
    processes_of,
    require_python,
    start_microservice,
)
from stacks.components.seldon_core.settings import SeldonCoreSettings
from stacks.components.seldon_core.v1_protocol import PREDICTIONS, STATUS, NoAnswerError, V1Client
from stacks.components.trials import CHAMPION
from stacks.errors import StackError

_AGAIN = "deploy again: python run.py --pipeline deploy"


@dataclass(frozen=True)
class _Record:
    """What is served of a model, and by which process; None where it was stopped."""

    served: Served
    server: Microservice | None


class MicroserviceServing:
    """The models of a folder, a process each."""

    reads_bundles = True
    no_trials = "Seldon's server serves one version at a time"

    def __init__(self, settings: SeldonCoreSettings) -> None:
        self.settings = settings
        self._folder = ServerFolder(Path(settings.folder))
        self._root = self._folder.root

    def reached(self) -> str:
        """Return what there is to serve with, in words. Raises StackError if that cannot be."""
        require_python()
        if not Path(self.settings.lock).is_file():
            raise StackError(f"The lock file {self.settings.lock} of Seldon's server is not there.")
        return f"Seldon's server runs on this machine, from {self._root}"

    def names(self) -> list[str]:
        """Return the models that are known here, running or not."""
        return sorted(path.stem for path in self._root.glob("*.json"))

    def served(self, name: str) -> Served | None:
        """Return what is served of a model. Raises StackError if its record is damaged."""
        record = self._read(name)
        return None if record is None else record.served

    def switch(self, name: str, bundle: ServedBundle, golden: dict[str, Any]) -> Served:
        """Have a version serve, once it has given the golden answers beside the one that does.

        Raises StackError with the reason; what served before serves on, and nothing else runs.
        """
        with self._folder.alone():
            kept = self._keep(replace(bundle, role=CHAMPION, share=100))
            served = Served(name, kept)
            new = start_microservice(name, kept, self.settings, self._folder)
            try:
                answer = self._client(new).infer(golden["request"])
                require_golden(name, answer, golden, kept.version, kept.digest)
                self._write(_Record(served, new))
            except BaseException:
                end_all(processes_of(self._root, name, new.port), self.settings.grace)
                raise
            self._end(name, but=new)
            self._clean()
        return served

    def try_out(self, name: str, bundle: ServedBundle, golden: dict[str, Any]) -> Served:
        """Raise StackError: there is one version, and nobody is told of another."""
        raise StackError(
            f"{self.no_trials}, so version {bundle.version} cannot be on trial as well. Use a stack with an "
            "mlserver deployer: --stack local."
        )

    def end_trials(self, name: str) -> tuple[ServedBundle, ...]:
        """Nothing can be on trial."""
        return ()

    def stop(self, name: str) -> None:
        """End its server; what was served stays known."""
        with self._folder.alone():
            record = self._read(name)
            if record is not None:
                self._write(_Record(replace(record.served, stopped=True), None))
            self._end(name)

    def forget(self, name: str) -> None:
        """End its server, and know nothing of it any more."""
        with self._folder.alone():
            self._path(name).unlink(missing_ok=True)
            self._end(name)
            self._clean()

    def fault(self, served: Served, bundle: ServedBundle) -> str:
        """Return why a version does not serve, as it is now; empty if it does."""
        server = self._server(served.name)
        if server is None:
            return "stopped"
        if not server.works_in(self._root):
            return f"its server (process {server.pid}) has ended, and nobody brings it back; {_AGAIN}"
        metadata = self._client(server).metadata()
        if metadata is None:
            return f"the server at {self._client(server).url} does not answer; {_AGAIN}"
        versions, digest = metadata.get("versions"), metadata["parameters"].get("digest")
        if (versions, digest) != ([bundle.version], bundle.digest):
            return f"the server at {self._client(server).url} answers as version {versions}; {_AGAIN}"
        return ""

    def drift(self, served: Served) -> list[str]:
        """Nothing that a running server uses can be changed by others."""
        return []

    def supervision(self, served: Served) -> str:
        """Say that nobody looks after it."""
        return "nobody brings its server back if it ends: deploy again then"

    def metadata(self, served: Served, bundle: ServedBundle) -> dict[str, Any]:
        """Return what the server says of a version, as V2 has it."""
        server = self._required(served.name)
        metadata = self._client(server).metadata()
        if metadata is None:
            raise StackError(f"{served.name} is not served: {self.fault(served, bundle)}.")
        return metadata

    def predict(self, served: Served, bundle: ServedBundle, request: dict[str, Any]) -> list[float]:
        """Return the output p_severe of a V2 request; of the next version's if that has just taken over."""
        server = self._required(served.name)
        try:
            answer = self._client(server).infer(request)
        except NoAnswerError:
            now = self._required(served.name)
            if now == server:
                raise
            answer = self._client(now).infer(request)
        return probabilities_of(answer)

    def url(self, served: Served, bundle: ServedBundle) -> str:
        """Return where a version is asked on this machine."""
        return self._client(self._required(served.name)).url

    def prediction_url(self, served: Served, bundle: ServedBundle) -> str:
        """Return where v1 requests go."""
        return f"{self.url(served, bundle)}{PREDICTIONS}"

    def health_url(self, served: Served, bundle: ServedBundle) -> str:
        """Return what answers 200 once the model is loaded."""
        return f"{self.url(served, bundle)}{STATUS}"

    def v2_address(self, served: Served) -> None:
        """None: Seldon's server speaks another protocol."""
        return None

    def log(self, served: Served, bundle: ServedBundle, lines: int) -> Iterator[str]:
        """Yield the last lines that its server has logged."""
        yield from last_lines(Path(self._required(served.name).log), lines)

    def how_to_follow(self, served: Served, bundle: ServedBundle) -> str:
        """Return the command that shows what it logs from now on."""
        return f"tail -F {self._required(served.name).log}"

    def _client(self, server: Microservice) -> V1Client:
        return server.client(self.settings.request_timeout)

    def _server(self, name: str) -> Microservice | None:
        record = self._read(name)
        return None if record is None else record.server

    def _required(self, name: str) -> Microservice:
        server = self._server(name)
        if server is None:
            raise StackError(f"{name} is not served: {_AGAIN}")
        return server

    def _keep(self, bundle: ServedBundle) -> ServedBundle:
        """Copy a bundle's files here. Raises StackError if they are not those that were meant."""
        source, target = Path(bundle.uri), self._root / "bundles" / bundle.digest
        if bundle_digest(source) != bundle.digest:
            raise StackError(f"The bundle in {source} is not the one with the digest {bundle.digest}.")
        try:
            copy_folder(source, target)
        except OSError as error:
            raise StackError(f"The bundle in {source} cannot be copied to {target}: {error}.") from error
        return replace(bundle, uri=str(target))

    def _end(self, name: str, but: Microservice | None = None) -> None:
        """End every server of a model but one."""
        spared = processes_of(self._root, name, but.port) if but else []
        end_all(
            [process for process in processes_of(self._root, name) if process not in spared],
            self.settings.grace,
        )
        for log in self._root.glob(f"{name}.*.log"):
            if but is None or log != Path(but.log):
                log.unlink(missing_ok=True)

    def _clean(self) -> None:
        """Delete the bundles and copies of code that no model is served from; none where that is not sure."""
        try:
            records = [record for name in self.names() if (record := self._read(name))]
        except StackError:  # its next deployment tells
            return
        kept = {record.served.champion.digest for record in records}
        kept |= {record.server.code for record in records if record.server}
        for old in (*self._root.glob("bundles/*"), *self._root.glob("code/*")):
            if old.name not in kept:
                shutil.rmtree(old, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self._root / f"{name}.json"

    def _read(self, name: str) -> _Record | None:
        path = self._path(name)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            server = content["server"]
            served = Served.from_json(json.dumps(content["served"]))
            return _Record(served, None if server is None else Microservice(**server))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StackError(f"{path} does not say what is served ({error!r}); {_AGAIN}") from error

    def _write(self, record: _Record) -> None:
        server = None if record.server is None else asdict(record.server)
        write_json(self._path(record.served.name), {"served": asdict(record.served), "server": server})
