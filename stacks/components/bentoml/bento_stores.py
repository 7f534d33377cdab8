"""A folder with BentoML's stores: a Bento comes into it whole or not at all, and leaves it when unused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import yaml
from filelock import FileLock, Timeout

from stacks.components.trials import CHAMPION, route, served_as
from stacks.errors import StackError
from stacks.processes import KEPT_VARIABLES

_BUILDING = "stacks.components.bentoml.building"  # a name: it imports BentoML, which may not be installed
_ROOT = Path(__file__).resolve().parents[3]  # where that is found
_LOCK_SECONDS = 900.0
_EXCEPTION = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Argument|NotFound): (.+)$", re.M)
_UNFINISHED = "building-"  # begins the name of a folder in which a Bento is being built
_STORES = ("models", "bentos")  # a Bento comes after the model it is of
_MODEL = "model.yaml"  # what BentoML writes of a model, its metadata among the rest


@dataclass(frozen=True)
class BentoTag:
    """A Bento and its model, which have the same tag."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


@dataclass(frozen=True)
class HeldVersion:
    """A version that a Bento holds, or is to hold.

    Attributes
    ----------
    bundle : the folder of its files.
    role : champion, or challenger or shadow beside it.
    share : percent of the requests that a challenger answers, else 0.
    """

    version: str
    digest: str
    bundle: Path
    role: str = CHAMPION
    share: int = 0


class BentoHome:
    """What BENTOML_HOME names, for everything that is started here.

    Parameters
    ----------
    folder : of the project, not the home folder that BentoML would take.
    code : folder with bentofile.yaml, accidents/ and serving/.
    """

    def __init__(self, folder: Path, code: Path) -> None:
        self.folder, self._code = folder, code

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Alone, whatever else is deployed at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / "deploy.lock", timeout=_LOCK_SECONDS):
                yield
        except Timeout:
            raise StackError(
                f"Another deployment to {self.folder} has not ended for {_LOCK_SECONDS:.0f} s."
            ) from None

    def build(self, name: str, champion: HeldVersion, *trials: HeldVersion) -> BentoTag:
        """Return a new Bento of a version, and of those on trial. Raises StackError with what BentoML says.

        It is built aside: BentoML's own stores have a name from the first file on, and an interrupted build
        would leave a Bento that they cannot read.
        """
        tag = BentoTag(name, f"{champion.version}-{uuid4().hex[:8]}")
        metadata = {
            "name": name, "version": champion.version, "digest": champion.digest,
            "routes": [_route(name, trial) for trial in trials],
        }  # fmt: skip
        bundles = {bundle_folder(held.role): str(held.bundle) for held in (champion, *trials)}
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=self.folder) as place:
            aside = Path(place)
            words = [str(self._code), tag.name, tag.version, json.dumps(metadata), json.dumps(bundles)]
            done = subprocess.run(
                [sys.executable, "-m", _BUILDING, *words],
                env=environment(aside) | {"PYTHONPATH": str(_ROOT)},
                cwd=aside, capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                reason = last_error(done.stderr) or f"exit code {done.returncode}"
                raise StackError(
                    f"The Bento of {name} version {champion.version} could not be built: {reason}"
                )
            self._keep_compiled(aside / self._path("bentos", tag) / "src")
            for store in _STORES:
                path = self._path(store, tag)
                (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(aside / path, self.folder / path)
        return tag

    def bundle(self, tag: BentoTag, role: str = CHAMPION) -> Path:
        """Return the folder of a version's files in a Bento's model."""
        return self.folder / self._path("models", tag) / bundle_folder(role)

    def trials(self, tag: BentoTag) -> list[HeldVersion]:
        """Return the versions on trial that a Bento holds beside its champion."""
        try:
            model = (self.folder / self._path("models", tag) / _MODEL).read_text(encoding="utf-8")
        except FileNotFoundError:  # deleted by hand: what serves has loaded it
            return []
        return [
            HeldVersion(
                route["version"], route["digest"], self.bundle(tag, route["role"]), route["role"],
                route["share"],
            )
            for route in yaml.safe_load(model)["metadata"].get("routes", ())
        ]  # fmt: skip

    def keep_only(self, tags: Collection[BentoTag]) -> None:
        """Delete every other Bento and model, and what interrupted builds have left."""
        for store in _STORES:
            kept = {self.folder / self._path(store, tag) for tag in tags}
            for name in (self.folder / store).glob("*/"):
                for version in name.iterdir():
                    if version.is_dir() and version not in kept:
                        shutil.rmtree(version, ignore_errors=True)
                if not any(entry.is_dir() for entry in name.iterdir()):
                    shutil.rmtree(name, ignore_errors=True)  # with the file that tells which is the latest
        for left in self.folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)

    def _path(self, store: str, tag: BentoTag) -> Path:
        return Path(store, tag.name, tag.version)

    def _keep_compiled(self, source: Path) -> None:
        """Give a Bento's code the times of the original, and what numba has compiled of that.

        `bentoml build` keeps neither, and every start would compile for half a minute.
        """
        for file in (self._code / "accidents").rglob("*.py"):
            copy = source / file.relative_to(self._code)
            if copy.is_file():
                shutil.copystat(file, copy)
        for file in (self._code / "accidents").rglob("__pycache__/*.nb[ic]"):
            copy = source / file.relative_to(self._code)
            copy.parent.mkdir(exist_ok=True)
            shutil.copy2(file, copy)


def bundle_folder(role: str) -> str:
    """Return the name of a version's folder in a model, as serving/bento/service.py reads it."""
    return served_as("bundle", role)


def last_error(words: str) -> str:
    """Return what the last exception in what BentoML has written says; empty if there is none."""
    return next(reversed(_EXCEPTION.findall(words)), "")


def _route(name: str, trial: HeldVersion) -> dict[str, str | int]:
    """Return what the champion's V2 metadata say of a version on trial."""
    return route(served_as(name, trial.role), trial.version, trial.digest, trial.role, trial.share)


def environment(home: Path) -> dict[str, str]:
    """Return the variables of BentoML's processes: none that who deploys has set for others."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
