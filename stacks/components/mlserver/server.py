"""The model server of a folder: what deploying, stopping and starting a model does to it.

A version is put in place of another like this: it is loaded beside it as NAME-candidate and must give the
golden answers; then NAME is reloaded, which MLServer does without missing a request, and asked again. If
what it runs on has changed (code, environment, image), a second server proves that first, on other ports and
with all models but the trials that end; then the first is started anew, which takes some seconds in which
nobody answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from stacks.components.mlserver.client import ModelServerClient
from stacks.components.mlserver.folder import (
    CANDIDATE,
    TRIALS,
    ServedModel,
    ServerFolder,
    Trial,
    say,
)
from stacks.components.mlserver.ports import PORTS, choose_ports
from stacks.components.mlserver.process_or_container import last_server, way_of
from stacks.components.mlserver.server_runner import RunningServer, Runtime
from stacks.components.mlserver.settings import ServerSettings
from stacks.components.trials import already_served, nothing_to_try_beside, served_as, stays_beside
from stacks.errors import StackError

_CHANCES = 3  # questions a living server may leave unanswered before it counts as stuck


class ModelServer:
    """The one model server of a folder. Processes that change it at once wait for one another.

    Parameters
    ----------
    settings : those of the model deployer.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings.here()
        self.folder = ServerFolder(Path(self.settings.folder))
        self.way = way_of(self.settings, self.folder)

    def deploy(self, name: str, version: str, bundle: Path, golden: Path) -> ServedModel:
        """Serve a version of a model in place of the one that is served under its name, if any.

        It then serves everything: what was on trial beside it is not any more.
        Raises StackError, and what was served before is served still.
        """
        with self._changing():
            model = self.folder.add(name, version, bundle, golden)
            daemon = self._put(model)
            self._end_trials(name)
            self.folder.clean(daemon.runtime.code)
            return model

    def try_out(self, name: str, version: str, bundle: Path, golden: Path, role: str, share: int) -> Trial:
        """Serve a version beside the one that is served under the model's name.

        Another one in the same role goes, as does this one in another role.

        Parameters
        ----------
        role : challenger or shadow. share : percent of the requests that a challenger answers, else 0.

        Raises StackError, and what was served before is served still, in its role.
        """
        with self._changing():
            champion = self.folder.served().get(name)
            if champion is None:
                raise nothing_to_try_beside(name)
            model = self.folder.add(served_as(name, role), version, bundle, golden)
            if (model.version, model.digest) == (champion.version, champion.digest):
                raise already_served(name, version)
            daemon = self._put(model)
            others = [
                other for other in self.folder.trials(name)
                if stays_beside(other.role, other.model.version, role, version)
            ]  # fmt: skip
            trial = Trial(role, share, model)
            self._set_trials(name, [*others, trial])
            self.folder.clean(daemon.runtime.code)
            return trial

    def end_trials(self, name: str) -> list[Trial]:
        """Serve no version beside the model any more; return those that were on trial."""
        with self._changing():
            return self._end_trials(name)

    def start(self, model: ServedModel) -> None:
        """Serve a version again that was stopped, or whose server has ended."""
        with self._changing():
            daemon = self._running() or self._restart_as_it_was(self.way.wanted())
            if not self.is_serving(daemon, model):
                self._switch(daemon, model)

    def stop(self, name: str) -> None:
        """Serve a model no longer; a server that has none left is ended, and nobody brings it back."""
        with self._changing():
            self._end_trials(name)
            self.folder.stop(name)
            self._unload(name)
        self._let_supervisor_go()

    def remove(self, name: str) -> None:
        """Stop a model and forget it."""
        with self._changing():
            self._end_trials(name)
            self.folder.remove(name)
            self._unload(name)
        self._let_supervisor_go()

    def bring_back(self) -> bool:
        """Start a server again that has ended or hangs, and load what it should serve and does not.

        For the supervisor. False if nothing was to be done: a deployment was quicker.
        Raises StackError if it could not be started, or a model not be loaded.
        """
        with self.folder.alone():
            served, daemon = self.folder.served(), self._running()
            if not served:
                return False
            ended = daemon is None
            if daemon is None:
                daemon = self._start_last()
            missing = [model for model in served.values() if not self.is_ready(daemon, model.name)]
            self._load_each(daemon, [model for model in missing if not model.on_trial])
            self._load_if_it_goes(daemon, [model for model in missing if model.on_trial])
            return ended or bool(missing)

    def pause(self) -> None:
        """End the server; what it serves is remembered. Raises StackError while a deployment is at work."""
        with self.folder.alone(self.settings.stop_timeout):
            daemon = self.daemon()
            if daemon is not None:
                self._end(daemon)

    def supervision(self) -> str:
        """Who brings it back, and what that has done of late."""
        return self.way.supervision()

    def daemon(self) -> RunningServer | None:
        """Return the server if it is alive."""
        daemon = last_server(self.folder)
        return daemon if daemon is not None and daemon.is_alive() else None

    def is_serving(self, daemon: RunningServer, model: ServedModel) -> bool:
        """Whether the server answers with this version of this bundle."""
        metadata = self._client(daemon).metadata(model.name) or {}
        return (
            metadata.get("versions") == [model.version] and metadata["parameters"]["digest"] == model.digest
        )

    def is_ready(self, daemon: RunningServer, name: str) -> bool | None:
        """Whether a model can be asked; None: no answer."""
        return self._client(daemon).is_ready(name)

    def _put(self, model: ServedModel) -> RunningServer:
        """Serve a model under its name, on the environment and code, or the image, of now."""
        wanted = self.way.wanted()
        daemon = self._running() or self._restart_as_it_was(wanted)
        if daemon.runtime != wanted or self._moved(daemon):
            return self._renew(daemon, wanted, model)
        if self.is_serving(daemon, model):
            self._check(daemon, [model])
            self.folder.serve(model)  # not so if a deployment was killed half-way
        else:
            self._switch(daemon, model)
        return daemon

    def _end_trials(self, name: str) -> list[Trial]:
        trials = self.folder.trials(name)
        self._set_trials(name, [])
        return trials

    def _set_trials(self, name: str, trials: list[Trial]) -> None:
        """First nobody is told of a model any more, then it goes: who asks it still, asks the other then."""
        if self.folder.trials(name) != trials:
            self.folder.set_trials(name, trials)
        kept = {trial.model.name for trial in trials}
        for left in {name + end for end in TRIALS} & self.folder.served().keys() - kept:
            self.folder.remove(left)
            self._unload(left)

    def _running(self) -> RunningServer | None:
        """Return the server if it is alive and answers; one that is stuck is ended."""
        daemon = self.daemon()
        if daemon is None:
            return None
        client = self._client(daemon)
        if any(client.is_live() for _ in range(_CHANCES)):
            return daemon
        say(f"The model server ({daemon}) does not answer: ending it.")
        self._end(daemon)
        return None

    def _restart_as_it_was(self, wanted: Runtime) -> RunningServer:
        """Start the server that has ended, with what it served, on what it ran on if that is still there."""
        served = self.folder.served()
        if served:
            say(f"The model server is not running: starting it with {', '.join(_named(served.values()))}.")
        last = last_server(self.folder)
        runtime = last.runtime if last is not None and last.runtime.is_there(self.folder) else wanted
        daemon = self._start(runtime, self._ports(last))
        self._load_if_it_goes(daemon, served.values())  # what is deployed now may well be a repair
        return daemon

    def _start_last(self) -> RunningServer:
        """Start what ended on what it ran on, where it listened. Raises StackError if that is gone."""
        last = last_server(self.folder)
        if last is None or not last.runtime.is_there(self.folder):
            raise StackError("What the model server ran on is gone: deploy again.")
        return self._start(last.runtime, last.ports)

    def _start(self, runtime: Runtime, ports: Mapping[str, int]) -> RunningServer:
        return runtime.start(self.folder, ports, self.settings.start_timeout, self.folder)

    def _load_each(self, daemon: RunningServer, models: Iterable[ServedModel]) -> None:
        """Load each that can be. Raises StackError that names those that cannot."""
        errors = []
        for model in models:
            try:
                self._load(daemon, [model])
            except StackError as error:
                errors.append(f"{model.name} version {model.version}: {error}")
        if errors:
            raise StackError("\n".join(errors))

    def _load_if_it_goes(self, daemon: RunningServer, models: Iterable[ServedModel]) -> None:
        try:
            self._load_each(daemon, models)
        except StackError as error:
            say(f"{error}\nGoing on without.")

    def _renew(self, old: RunningServer, wanted: Runtime, model: ServedModel) -> RunningServer:
        """Start anew with all models, on what is wanted now: proved beside first, else as it was.

        What is on trial beside the model is left out: deploying the model ends its trials. Those of the other
        stage need not load either: its champion answers for one that does not.
        """
        before, trials = self.folder.served(), self.folder.trials(model.name)
        ended = {model.name + end for end in TRIALS}
        after = {name: each for name, each in before.items() if name not in ended} | {model.name: model}
        ports = self._ports(old)
        choose_ports({name: port for name, port in ports.items() if port not in old.ports.values()})
        champions = [each for each in after.values() if not each.on_trial]
        self._prove_apart(wanted, champions)
        say("The serving code, what it runs on or a port has changed: the model server is started anew.")
        self._end(old)
        try:
            if trials:
                self.folder.set_trials(model.name, [])
            return self._start_with(wanted, ports, after, champions)
        except StackError as error:
            try:
                if trials:
                    self.folder.set_trials(model.name, trials)
                earlier = [each for each in before.values() if not each.on_trial]
                self._start_with(old.runtime, old.ports, before, earlier)
            except StackError as second:
                raise StackError(f"{error}\nStarting it as it was failed too: {second}") from error
            raise

    def _start_with(
        self,
        runtime: Runtime,
        ports: Mapping[str, int],
        models: Mapping[str, ServedModel],
        required: Collection[ServedModel],
    ) -> RunningServer:
        """Start it with these models. Raises StackError, and it is ended, if one that is required fails."""
        for name in self.folder.served().keys() - models.keys():
            self.folder.remove(name)
        for model in models.values():
            self.folder.serve(model)
        daemon = self._start(runtime, ports)
        try:
            self._load(daemon, required)
        except StackError:
            self._end(daemon)
            raise
        self._load_if_it_goes(daemon, [model for model in models.values() if model not in required])
        return daemon

    def _prove_apart(self, wanted: Runtime, models: Iterable[ServedModel]) -> None:
        """Have a second server, on free ports, give every golden answer; it is ended in any case."""
        proof = ServerFolder(self.folder.root / "proof")
        left = last_server(proof)
        if left is not None:  # of a deployment that was killed
            self._end(left)
        # One place of the code for both: what the proof compiles need not be compiled again.
        daemon = wanted.start(proof, dict.fromkeys(PORTS, 0), self.settings.start_timeout, self.folder)
        try:
            for model in models:
                proof.serve(model, bundles=self.folder)
                self._client(daemon, proof).load(model.name)
            self._check(daemon, models)
        finally:
            self._end(daemon)
            proof.delete()

    def _switch(self, daemon: RunningServer, model: ServedModel) -> None:
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

    def _prove_beside(self, daemon: RunningServer, model: ServedModel) -> None:
        client, name = self._client(daemon), model.name + CANDIDATE
        self.folder.serve(model, as_name=name)
        try:
            client.load(name)
            client.check(name, self.folder.golden(model), model.version, model.digest)
        finally:
            self.folder.remove(name)
            with suppress(StackError):  # the reason it could not be loaded is the one to tell
                client.unload(name)

    def _load(self, daemon: RunningServer, models: Iterable[ServedModel]) -> None:
        for model in models:
            self._client(daemon).load(model.name)
        self._check(daemon, models)

    def _check(self, daemon: RunningServer, models: Iterable[ServedModel]) -> None:
        client = self._client(daemon)
        for model in models:
            client.check(model.name, self.folder.golden(model), model.version, model.digest)

    def _unload(self, name: str) -> None:
        last, others = last_server(self.folder), self.folder.served()
        if others:
            if last is not None and last.is_alive():
                self._client(last).unload(name)
            return
        if last is not None:
            self._end(last)
        self.folder.state.unlink(missing_ok=True)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone; whatever comes of it, somebody brings back what is served after it."""
        with self.folder.alone():
            try:
                yield
            finally:
                if self.folder.served():
                    self.way.supervise()

    def _let_supervisor_go(self) -> None:
        if not self.folder.served():
            self.way.let_go()

    def _end(self, daemon: RunningServer) -> None:
        daemon.end(self.settings.stop_timeout)

    def _ports(self, last: RunningServer | None) -> dict[str, int]:
        """Return the ports that are set; where that is any, the last one."""
        ports = {name: int(getattr(self.settings, name)) for name in PORTS}
        return {name: port or (last.ports[name] if last else 0) for name, port in ports.items()}

    def _moved(self, daemon: RunningServer) -> bool:
        return self._ports(daemon) != daemon.ports

    def _client(self, daemon: RunningServer, folder: ServerFolder | None = None) -> ModelServerClient:
        token = (folder or self.folder).token
        return ModelServerClient(daemon.http_port, self.settings.load_timeout, token)


def _named(models: Iterable[ServedModel]) -> list[str]:
    return [f"{model.name} version {model.version}" for model in models]
