"""The keys callers present: made, hashed, checked and revoked. Where they are kept is no key, only its hash.

In a file here; for APIs on several machines in the database: serving/api/operations/keys_in_database.py.
What a key may do are its scopes: docs/decisions/0012-who-may-steer-the-loop.md.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from accidents.errors import AccidentsError
from accidents.files import write_whole

PREFIX = "acc_"  # so that a key that leaked into a file or a log is recognised
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VERSION = 1
TOO_OPEN = 0o037  # what others may do, and the group beyond reading
PREDICT, LABEL, CORRECT = "predict", "label", "correct"
SCOPES = {
    PREDICT: "ask for predictions",
    LABEL: "say what became of accidents whose outcome nobody has given",
    CORRECT: "change outcomes that others gave, too",
}
BEFORE_SCOPES = (PREDICT, LABEL)  # what a key may that was made before there were scopes


class KeysError(AccidentsError):
    """The file of keys cannot be trusted or changed, or a name in it is wrong."""


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    # SHA-256 alone is enough: a key is 256 random bits, so there is nothing to guess and no word list to try.
    # A slow, salted hash protects passwords that people choose, and would cost every request its time.
    sha256: str
    created: str
    scopes: Collection[str] = BEFORE_SCOPES


class KeyRing(ABC):
    """Keys that open something, wherever they are kept.

    Every method raises KeysError where they cannot be read or changed, or cannot be trusted.
    """

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}
        self._scopes: dict[str, frozenset[str]] = {}

    @abstractmethod
    def any(self) -> bool:
        """Whether callers must present a key.

        True from the first key on, also when all were revoked, or where they are kept is gone: that must not
        open the API.
        """

    def names(self) -> list[str]:
        """Return the names of the keys that are valid, in the order they were made."""
        self._refresh()
        return list(self._known)

    def check(self, presented: str) -> str | None:
        """Return the name of the key, or None if there is no such key.

        The time it takes tells nothing of the keys.
        """
        self._refresh()
        digest = _digest(presented)
        owner = None
        for name, known in self._known.items():  # to the end, also when found
            if hmac.compare_digest(digest, known):
                owner = name
        return owner

    def scopes(self, name: str) -> frozenset[str]:
        """Return what the key of this name may do; nothing where it was revoked meanwhile."""
        return self._scopes.get(name, frozenset())

    def new(self, name: str, scopes: Collection[str] = (PREDICT,)) -> str:
        """Make a key of this name and return it: it is shown this once.

        Raises
        ------
        KeysError : the name is taken or not a name, too.
        """
        if not NAME.fullmatch(name):
            raise KeysError(f"{name!r:.100} cannot name a key: use up to 64 of A-Z a-z 0-9 . _ -")
        key = PREFIX + secrets.token_urlsafe(32)
        self._add(name, _digest(key).hex(), scopes)
        return key

    @abstractmethod
    def revoke(self, name: str) -> None:
        """Make the key of this name invalid, here and in every running API that reads these.

        Raises
        ------
        KeysError : there is no such key, too.
        """

    @abstractmethod
    def _refresh(self) -> None:
        """See what has changed where they are kept."""

    @abstractmethod
    def _add(self, name: str, sha256: str, scopes: Collection[str]) -> None:
        """Keep a key. Raises KeysError where the name is taken."""

    def _know(self, keys: Iterable[tuple[str, str, Collection[str]]]) -> None:
        """Take these for all that is valid: name, hash and scopes of each."""
        known = {name: (bytes.fromhex(sha256), frozenset(scopes)) for name, sha256, scopes in keys}
        self._known = {name: sha256 for name, (sha256, _) in known.items()}
        self._scopes = {name: scopes for name, (_, scopes) in known.items()}


class Keys(KeyRing):
    """The keys in a file, read again whenever the file changes."""

    def __init__(self, path: Path) -> None:
        """Read nothing yet. A missing file is no error: no key was made so far.

        Raises
        ------
        KeysError : the file is there, but damaged or open to others.
        """
        super().__init__()
        self._path = path
        self._seen: tuple[int, ...] | None = None  # of the file as last read
        self._refresh()

    def any(self) -> bool:
        """Whether there was a key, also where the file vanishes under a running process."""
        self._refresh()
        return self._seen is not None

    def _add(self, name: str, sha256: str, scopes: Collection[str]) -> None:
        with self._changing() as keys:
            if any(known.name == name for known in keys):
                raise KeysError(
                    f"There is a key named {name!r} in {self._path}: revoke it, or take another name."
                )
            created = datetime.now(UTC).isoformat(timespec="seconds")
            keys.append(_Key(name, sha256, created, tuple(scopes)))

    def entries(self) -> list[tuple[str, str, Collection[str]]]:
        """Return name, hash and scopes of each key."""
        return (
            [(key.name, key.sha256, key.scopes) for key in _read(self._path)] if self._path.exists() else []
        )

    def revoke(self, name: str) -> None:
        """Make the key of this name invalid, here and in every running API that reads this file.

        Raises
        ------
        KeysError : there is no such key; the file cannot be read or written.
        """
        with self._changing() as keys:
            left = [key for key in keys if key.name != name]
            if len(left) == len(keys):
                names = ", ".join(key.name for key in keys) or "none"
                raise KeysError(f"There is no key named {name!r:.100} in {self._path}. There are: {names}.")
            keys[:] = left

    def _refresh(self) -> None:
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return  # what was known stays known
        except OSError as error:
            raise KeysError(
                f"The keys {self._path} cannot be read: {error.strerror}. Correct its rights."
            ) from None
        signature = (state.st_ino, state.st_mode, state.st_size, state.st_mtime_ns)
        if signature != self._seen:
            keys = _read(self._path)
            self._know((key.name, key.sha256, key.scopes) for key in keys)
            self._seen = signature

    @contextmanager
    def _changing(self) -> Iterator[list[_Key]]:
        """Yield the keys as they are, to be changed in place and written; one process at a time."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)  # of the folder: the file itself is replaced
                keys = _read(self._path) if self._path.exists() else []
                yield keys
                _write(self._path, keys)
            finally:
                os.close(folder)
        except OSError as error:
            raise KeysError(
                f"The keys {self._path} cannot be changed: {error.strerror}. "
                "Correct the rights of the file and its folder."
            ) from None
        self._refresh()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


def _read(path: Path) -> list[_Key]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except OSError as error:
        raise KeysError(f"The keys {path} cannot be read: {error.strerror}. Correct its rights.") from None
    if mode & TOO_OPEN:
        raise KeysError(f"Others may read or change the keys {path} (mode {mode:03o}). Run: chmod 600 {path}")
    try:
        return _parse(content)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeysError(
            f"The keys {path} are damaged ({type(error).__name__}: {error}). "
            "Restore the file, or delete it and make new keys with: python run.py keys new --name NAME"
        ) from None


def _parse(content: bytes) -> list[_Key]:
    document = json.loads(content)
    if document["version"] != VERSION:
        raise ValueError(f"version {document['version']!r}, not {VERSION}")
    keys = [_Key(**entry) for entry in document["keys"]]
    for key in keys:
        if not NAME.fullmatch(key.name) or len(bytes.fromhex(key.sha256)) != hashlib.sha256().digest_size:
            raise ValueError(f"the entry {key.name!r:.100}")
        if isinstance(key.scopes, str) or not set(key.scopes) <= set(SCOPES):
            raise ValueError(f"the scopes of {key.name!r:.100}")
    if len({key.name for key in keys}) < len(keys):
        raise ValueError("a name occurs twice")
    return keys


def _write(path: Path, keys: list[_Key]) -> None:
    """Whole or not at all, and on the disk before this returns."""
    document = json.dumps({"version": VERSION, "keys": [asdict(key) for key in keys]}, indent=2)
    write_whole(path, document + "\n", mode=0o600)
