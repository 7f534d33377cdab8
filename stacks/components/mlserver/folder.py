"""What a model server keeps on disk: its models, their bundles and golden requests, and its copy of the code.

models/settings.json               MLServer's settings
models/NAME/model-settings.json    a model that is served: which bundle, which version
models/NAME/routes.json            versions on trial beside it, which are served as NAME-ROLE
bundles/DIGEST/  golden/DIGEST.json
code/HASH/accidents, serving       what the server imports: edits in the project never reach it
server.json  server.log            the process or container, and what the process says
token                              what opens its repository, for the deployer alone (mode 0600)
deployer.json                      the settings of the last deployment
supervisor.json  supervisor.log    who brings it back, and what that has done
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from accidents.files import whole_folder, write_whole
from stacks.components.trials import route
from stacks.errors import StackError
from stacks.mlserver_layout import SETTINGS_FILE, model_settings
from stacks.processes import KEPT_VARIABLES

TRIALS = ("-challenger", "-shadow")  # end the name under which a version is on trial beside another
CODE_ROOMS = ("serving", "serving/runtime")  # whose modules a server imports, beside accidents/
CANDIDATE = "-candidate"  # ends the name under which a version proves itself beside the one it is to replace
# Modules of the copy of the code.
PROGRAM = "serving.runtime.guarded_mlserver"
_LOCK_SECONDS = 900.0
_SETTINGS, _STOPPED, _ROUTES = SETTINGS_FILE, "stopped-settings.json", "routes.json"


@dataclass(frozen=True)
class ServedModel:
    """A version of a model in a server's folder; `digest` names its bundle there."""

    name: str
    version: str
    digest: str

    @property
    def on_trial(self) -> bool:
        """Whether it is served beside another version of its model."""
        return self.name.endswith(TRIALS)


@dataclass(frozen=True)
class Trial:
    """A version on trial: `role` is challenger or shadow, `share` the percent that a challenger answers."""

    role: str
    share: int
    model: ServedModel


class ServerFolder:
    """The folder of one model server."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.models = self.root / "models"
        self.state, self.log, self.output, self.token = (
            self.root / n for n in ("server.json", "server.log", "output.log", "token")
        )
        self.settings, self.supervisor, self.supervisor_log = (
            self.root / n for n in ("deployer.json", "supervisor.json", "supervisor.log")
        )

    @contextmanager
    def alone(self, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
        """One process at a time. Raises StackError if another one takes longer than that."""
        lock = FileLock(self.root / "deploy.lock")
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say("Another deployment is at work: waiting for it.")
            try:
                lock.acquire(timeout=seconds)
            except Timeout:
                raise StackError(
                    f"Another deployment has held {lock.lock_file} for {seconds:g} s: see what it does."
                ) from None
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def recorded(self, server: Mapping[str, Any]) -> Iterator[None]:
        """Write down the server that is being started; if that fails, what was there before stands again."""
        before = json.loads(self.state.read_text(encoding="utf-8")) if self.state.is_file() else None
        write_json(self.state, dict(server))
        try:
            yield
        except BaseException:
            if before is None:
                self.state.unlink()
            else:
                write_json(self.state, before)
            raise

    def variables(self, code: str) -> dict[str, str]:
        """Return the environment of a server that imports this copy of the code."""
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        return kept | {
            "PYTHONPATH": str(self.root / "code" / code),
            "OMP_NUM_THREADS": "1",  # a second thread helps no single row, and fights with its neighbours
            "NUMBA_NUM_THREADS": "1",
        }

    def add(self, name: str, version: str, bundle: Path, golden: Path) -> ServedModel:
        """Copy a bundle and its golden requests here; nothing is served yet.

        Raises StackError if one of them cannot be read.
        """
        digest = bundle_digest(bundle)
        try:
            content = json.loads(golden.read_text(encoding="utf-8"))
            if not content["request"]["inputs"] or not content["p_severe"]:
                raise StackError(f"{golden} holds no golden requests.")
            copy_folder(bundle, self.root / "bundles" / digest)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StackError(f"{name} cannot be deployed from {bundle} and {golden}: {error!r}.") from error
        write_json(self._golden(digest), content)
        return ServedModel(name, version, digest)

    def golden(self, model: ServedModel) -> dict[str, Any]:
        """{"request": a V2 request, "p_severe": the probabilities it must give}."""
        try:
            return dict(json.loads(self._golden(model.digest).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise StackError(f"{self._golden(model.digest)} is gone or damaged: deploy again.") from error

    def serve(
        self, model: ServedModel, as_name: str | None = None, bundles: ServerFolder | None = None
    ) -> None:
        """Write down that the server serves a model from its next load on, with the bundle of that folder."""
        name = as_name or model.name
        (self.models / name / _STOPPED).unlink(missing_ok=True)
        bundle = (bundles or self).root / "bundles" / model.digest
        content = model_settings(name, bundle, model.version, model.digest, str(self.models / name / _ROUTES))
        write_json(self.models / name / _SETTINGS, content)

    def stop(self, name: str) -> None:
        """Write down that a model is no longer served; its bundle is kept."""
        settings = self.models / name / _SETTINGS
        if settings.is_file():
            os.replace(settings, settings.with_name(_STOPPED))

    def remove(self, name: str) -> None:
        """Forget a model."""
        shutil.rmtree(self.models / name, ignore_errors=True)

    def trials(self, name: str) -> list[Trial]:
        """Return the versions on trial beside a model."""
        try:
            routes = json.loads((self.models / name / _ROUTES).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        return [
            Trial(each["role"], each["share"], ServedModel(each["model"], each["version"], each["digest"]))
            for each in routes
        ]

    def set_trials(self, name: str, trials: Iterable[Trial]) -> None:
        """Have requests go to these beside the model, as its metadata tell; its model must be served."""
        routes = [
            route(each.model.name, each.model.version, each.model.digest, each.role, each.share)
            for each in trials
        ]
        write_json(self.models / name / _ROUTES, routes)

    def delete(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def served(self) -> dict[str, ServedModel]:
        """Return the models that are served, by name."""
        return {model.name: model for model in self._read(_SETTINGS)}

    def stopped(self) -> dict[str, ServedModel]:
        """Return the models that were served until they were stopped, by name."""
        return {model.name: model for model in self._read(_STOPPED)}

    def has_code(self, code: str) -> bool:
        """Whether a copy of the code is here, with the program that is started now."""
        return (self.root / "code" / code / PROGRAM.replace(".", "/")).with_suffix(".py").is_file()

    def clean(self, code: str) -> None:
        """Delete the bundles that no model here refers to, and all copies of the code but this one."""
        kept = {model.digest for model in (*self._read(_SETTINGS), *self._read(_STOPPED))}
        for old in _others(self.root / "bundles", kept):
            shutil.rmtree(old, ignore_errors=True)
        for old in _others(self.root / "golden", {f"{digest}.json" for digest in kept}):
            old.unlink(missing_ok=True)
        for old in _others(self.root / "code", {code}):
            shutil.rmtree(old, ignore_errors=True)

    def copy_code(self, source: Path, rooms: Sequence[str] = CODE_ROOMS) -> str:
        """Copy accidents/ and the modules of these rooms here; return the hash that names the copy."""
        files = sorted(_code_files(source, rooms))
        if not files:
            raise StackError(f"There is no accidents/ and serving/ in {source}: set `code` of the deployer.")
        digest = hashlib.sha256()
        for file in files:
            digest.update(
                f"{file.relative_to(source)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\0".encode()
            )
        place = self.root / "code" / digest.hexdigest()[:16]
        if not place.is_dir():
            with whole_folder(place) as part:
                for file in (*files, *_compiled(source)):
                    (part / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(file, part / file.relative_to(source))  # with its time, which numba looks at
        return place.name

    def _golden(self, digest: str) -> Path:
        return self.root / "golden" / f"{digest}.json"

    def _read(self, file: str) -> Iterator[ServedModel]:
        for path in sorted(self.models.glob(f"*/{file}")):
            if path.parent.name.endswith(CANDIDATE):
                continue  # left by a deployment that was killed
            content = json.loads(path.read_text(encoding="utf-8"))
            extra = content["parameters"]["extra"]
            yield ServedModel(content["name"], extra["version"], extra["digest"])


def bundle_digest(bundle: Path) -> str:
    """Return what names a bundle: the SHA-256 of its manifest. Raises StackError if there is none."""
    try:
        return hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    except OSError as error:
        raise StackError(f"{bundle} is no bundle: manifest.json cannot be read. Train again.") from error


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, file=sys.stderr)


def write_json(path: Path, content: Any) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content, indent=1) + "\n")


def write_secret(path: Path, secret: str) -> None:
    """Write a file that nobody else may read, whole or not at all."""
    write_whole(path, secret + "\n", mode=0o600)


def _code_files(source: Path, rooms: Sequence[str]) -> Iterable[Path]:
    for folder in rooms:
        yield from (source / folder).glob("*.py")
    for path in (source / "accidents").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _compiled(source: Path) -> Iterable[Path]:
    """Machine code that numba keeps of accidents/: what a training has compiled, a server need not, too.

    A numba of another version, or another processor, takes none of it and compiles.
    """
    return (source / "accidents").rglob("__pycache__/*.nb[ic]")


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder, whole or not at all; one that is there is replaced if it differs."""
    if target.is_dir() and _same(source, target):
        return
    with whole_folder(target) as part:
        shutil.copytree(source, part, dirs_exist_ok=True)


def _same(source: Path, target: Path) -> bool:
    names = [sorted(p.relative_to(f) for p in f.rglob("*") if p.is_file()) for f in (source, target)]
    return names[0] == names[1] and all(filecmp.cmp(source / n, target / n, shallow=False) for n in names[0])


def _others(folder: Path, kept: set[str]) -> list[Path]:
    return [path for path in folder.glob("*") if path.name not in kept]
