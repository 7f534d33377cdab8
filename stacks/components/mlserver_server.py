"""The model server of a folder: what deploying, stopping and starting a model does to it.

A version is put in place of another like this: it is loaded beside it as NAME-candidate and must give the
golden answers; then NAME is reloaded, which MLServer does without missing a request, and asked again. If the
code or the environment has changed, a second server proves them first, on other ports and with all models;
then the first is started anew, which takes some seconds in which nobody answers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from stacks.components.environments import environment, environments_folder
from stacks.components.mlserver_client import ModelServerClient
from stacks.components.mlserver_daemon import (
    PORTS,
    Daemon,
    choose_ports,
    read_daemon,
    start_daemon,
    stop_daemon,
)
from stacks.components.mlserver_flavor import MLServerDeployerConfig
from stacks.components.mlserver_folder import CANDIDATE, ServedModel, ServerFolder
from stacks.errors import StackError

_LOCK_SECONDS = 900
_CHANCES = 3  # questions a living server may leave unanswered before it counts as stuck


class ModelServer:
    """The one model server of a folder. Processes that change it at once wait for one another.

    Parameters
    ----------
    settings : those of the model deployer.
    """

    def __init__(self, settings: MLServerDeployerConfig) -> None:
        self.settings = settings
        self.folder = ServerFolder(Path(settings.folder))

    def deploy(self, name: str, version: str, bundle: Path, golden: Path) -> ServedModel:
        """Serve a version of a model in place of the one that is served under its name, if any.

        Raises StackError, and what was served before is served still.
        """
        with self._alone():
            model = self.folder.add(name, version, bundle, golden)
            python, code = self._wanted_runtime()
            daemon = self._running() or self._restart_as_it_was(python, code)
            if (daemon.python, daemon.code) != (str(python), code) or self._moved(daemon):
                daemon = self._renew(daemon, python, code, model)
            elif self.is_serving(daemon, model):
                self._check(daemon, [model])
                self.folder.serve(model)  # not so if a deployment was killed half-way
            else:
                self._switch(daemon, model)
            self.folder.clean(daemon.code)
            return model

    def start(self, model: ServedModel) -> None:
        """Serve a version again that was stopped, or whose server has ended."""
        with self._alone():
            python, code = self._wanted_runtime()
            daemon = self._running() or self._restart_as_it_was(python, code)
            if not self.is_serving(daemon, model):
                self._switch(daemon, model)

    def stop(self, name: str) -> None:
        """Serve a model no longer; a server that has none left is ended."""
        with self._alone():
            self.folder.stop(name)
            self._unload(name)

    def remove(self, name: str) -> None:
        """Stop a model and forget it."""
        with self._alone():
            self.folder.remove(name)
            self._unload(name)

    def daemon(self) -> Daemon | None:
        """The server's daemon if it is alive."""
        daemon = read_daemon(self.folder)
        return daemon if daemon is not None and daemon.process() is not None else None

    def is_serving(self, daemon: Daemon, model: ServedModel) -> bool:
        """Whether the server answers with this version of this bundle."""
        said = self._client(daemon).metadata(model.name) or {}
        return said.get("versions") == [model.version] and said["parameters"]["digest"] == model.digest

    def _wanted_runtime(self) -> tuple[Path, str]:
        """The Python and the copy of the code that a server started now would run on."""
        environments = environments_folder(
            Path(self.settings.environments or self.folder.root / "environments")
        )
        python = environment(Path(self.settings.lock), environments)
        return python, self.folder.copy_code(Path(self.settings.code))

    def _running(self) -> Daemon | None:
        """The daemon if it is alive and answers; one that is stuck is ended."""
        daemon = self.daemon()
        if daemon is None:
            return None
        client = self._client(daemon)
        if any(client.is_live() for _ in range(_CHANCES)):
            return daemon
        _say(f"The model server (process {daemon.pid}) does not answer: ending it.")
        self._end(daemon)
        return None

    def _restart_as_it_was(self, python: Path, code: str) -> Daemon:
        """Start the server that has ended, with what it served, on what it ran on if that is still there."""
        last, served = read_daemon(self.folder), self.folder.served()
        ports = self._ports(last)
        if (
            last is not None
            and Path(last.python).exists()
            and (self.folder.root / "code" / last.code).is_dir()
        ):
            python, code = Path(last.python), last.code
        if served:
            _say(f"The model server is not running: starting it with {', '.join(_told(served.values()))}.")
        daemon = start_daemon(self.folder, python, code, ports, self.settings.start_timeout)
        for model in served.values():
            try:
                self._load(daemon, [model])
            except StackError as error:  # what is deployed now may well be its repair
                _say(f"{error}\nGoing on without {model.name} version {model.version}.")
        return daemon

    def _renew(self, old: Daemon, python: Path, code: str, model: ServedModel) -> Daemon:
        """Start anew, on other code or ports, with all models: proved beside first, else as it was."""
        before = self.folder.served()
        after = {**before, model.name: model}
        ports = self._ports(old)
        choose_ports({name: port for name, port in ports.items() if port not in old.ports.values()})
        self._prove_apart(python, code, after.values())
        _say("The serving code, its environment or a port has changed: the model server is started anew.")
        self._end(old)
        try:
            return self._start_with(python, code, ports, after)
        except StackError as error:
            try:
                self._start_with(Path(old.python), old.code, old.ports, before)
            except StackError as second:
                raise StackError(f"{error}\nStarting it as it was failed too: {second}") from error
            raise

    def _start_with(
        self, python: Path, code: str, ports: Mapping[str, int], models: Mapping[str, ServedModel]
    ) -> Daemon:
        for name in self.folder.served().keys() - models.keys():
            self.folder.remove(name)
        for model in models.values():
            self.folder.serve(model)
        daemon = start_daemon(self.folder, python, code, ports, self.settings.start_timeout)
        try:
            self._load(daemon, models.values())
        except StackError:
            self._end(daemon)
            raise
        return daemon

    def _prove_apart(self, python: Path, code: str, models: Iterable[ServedModel]) -> None:
        """Have a second server, on free ports, give every golden answer; it is ended in any case."""
        proof = ServerFolder(self.folder.root / "proof")
        left = read_daemon(proof)
        if left is not None:  # of a deployment that was killed
            stop_daemon(proof, left, self.settings.stop_timeout)
        # One place of the code for both: what the proof compiles need not be compiled again.
        daemon = start_daemon(
            proof, python, code, dict.fromkeys(PORTS, 0), self.settings.start_timeout, self.folder
        )
        try:
            for model in models:
                proof.serve(model, bundles=self.folder)
                self._client(daemon).load(model.name)
            self._check(daemon, models)
        finally:
            stop_daemon(proof, daemon, self.settings.stop_timeout)
            proof.delete()

    def _switch(self, daemon: Daemon, model: ServedModel) -> None:
        """Put a version in place of another while requests go on."""
        client, before = self._client(daemon), self.folder.served().get(model.name)
        self._prove_beside(daemon, model)
        self.folder.serve(model)
        try:
            self._load(daemon, [model])
        except StackError:
            if before is None:
                self.folder.remove(model.name)
                client.unload(model.name)
            else:
                self.folder.serve(before)
                client.load(model.name)
            raise

    def _prove_beside(self, daemon: Daemon, model: ServedModel) -> None:
        client, name = self._client(daemon), model.name + CANDIDATE
        self.folder.serve(model, as_name=name)
        try:
            client.load(name)
            client.check(name, self.folder.golden(model), model.version, model.digest)
        finally:
            self.folder.remove(name)
            with suppress(StackError):  # the reason it could not be loaded is the one to tell
                client.unload(name)

    def _load(self, daemon: Daemon, models: Iterable[ServedModel]) -> None:
        for model in models:
            self._client(daemon).load(model.name)
        self._check(daemon, models)

    def _check(self, daemon: Daemon, models: Iterable[ServedModel]) -> None:
        client = self._client(daemon)
        for model in models:
            client.check(model.name, self.folder.golden(model), model.version, model.digest)

    def _unload(self, name: str) -> None:
        daemon = self.daemon()
        if daemon is None:
            return
        if self.folder.served():
            self._client(daemon).unload(name)
        else:
            self._end(daemon)

    def _end(self, daemon: Daemon) -> None:
        stop_daemon(self.folder, daemon, self.settings.stop_timeout)

    def _ports(self, last: Daemon | None) -> dict[str, int]:
        """The ports that are set; where that is any, the last one."""
        ports = {name: int(getattr(self.settings, name)) for name in PORTS}
        return {name: port or (last.ports[name] if last else 0) for name, port in ports.items()}

    def _moved(self, daemon: Daemon) -> bool:
        return self._ports(daemon) != daemon.ports

    def _client(self, daemon: Daemon) -> ModelServerClient:
        return ModelServerClient(daemon.http_port, self.settings.load_timeout)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time."""
        lock = FileLock(self.folder.root / "deploy.lock")
        self.folder.root.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _say("Another deployment is at work: waiting for it.")
            try:
                lock.acquire(timeout=_LOCK_SECONDS)
            except Timeout:
                raise StackError(
                    f"Another deployment has held {lock.lock_file} for {_LOCK_SECONDS} s: see what it does."
                ) from None
        try:
            yield
        finally:
            lock.release()


def _told(models: Iterable[ServedModel]) -> list[str]:
    return [f"{model.name} version {model.version}" for model in models]


def _say(text: str) -> None:
    print(text, file=sys.stderr)
