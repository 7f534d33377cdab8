"""Keys: made once, shown once, checked fast, and never lost into "no key is needed"."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from commands.arguments.keys import Scope
from serving.api.operations import keys as module
from serving.api.operations.keys import SCOPES, Keys, KeysError
from tests.conftest import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".serving" / "keys.json"


def private(path: Path, content: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.touch(0o600)
    path.write_text(content, encoding="utf-8")


def entry(**fields: Any) -> dict[str, Any]:
    return {"name": "a", "sha256": "0" * 64, "created": "2026-11-22"} | fields


def test_a_key_is_known_by_its_name(path: Path) -> None:
    keys = Keys(path)
    first, second = keys.new("control-room"), keys.new("page")
    assert re.fullmatch(r"acc_[A-Za-z0-9_-]{43}", first)
    assert first != second
    assert keys.check(first) == "control-room"
    assert keys.check(second) == "page"
    assert keys.names() == ["control-room", "page"]
    assert Keys(path).check(first) == "control-room"


def test_a_key_may_what_it_was_made_for_also_elsewhere(path: Path) -> None:
    keys, running = Keys(path), Keys(path)
    keys.new("page")
    key = keys.new("statistics", ["label", "correct"])
    assert running.check(key) == "statistics"
    assert running.scopes("page") == {"predict"}
    assert running.scopes("statistics") == {"label", "correct"}
    assert [one.value for one in Scope] == list(SCOPES)


def test_a_key_of_before_there_were_scopes_predicts_and_labels_as_it_did(path: Path) -> None:
    private(path, json.dumps({"version": 1, "keys": [entry()]}))
    keys = Keys(path)
    assert keys.scopes("a") == {"predict", "label"}
    keys.new("b")
    assert Keys(path).scopes("a") == {"predict", "label"}


def test_a_revoked_key_may_nothing(path: Path) -> None:
    keys = Keys(path)
    keys.new("a")
    keys.revoke("a")
    assert keys.scopes("a") == frozenset()


@pytest.mark.parametrize("wrong", ["", "acc_", "é", "\0", "\ud800", "x" * 1_000_000])
def test_anything_else_is_no_key(path: Path, wrong: str) -> None:
    keys = Keys(path)
    key = keys.new("a")
    assert keys.check(wrong) is None
    assert keys.check(key + wrong) == ("a" if wrong == "" else None)
    assert keys.check(key[:-1]) is None
    assert keys.check(key.swapcase()) is None


def test_the_file_holds_hashes_only_and_is_private(path: Path) -> None:
    key = Keys(path).new("a")
    content = path.read_text()
    assert key not in content
    assert key.removeprefix("acc_") not in content
    assert hashlib.sha256(key.encode()).hexdigest() in content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_names_are_unique(path: Path) -> None:
    keys = Keys(path)
    key = keys.new("a")
    with pytest.raises(KeysError, match=r"named 'a'.*revoke it"):
        keys.new("a")
    assert keys.check(key) == "a"


@pytest.mark.parametrize("name", ["", " ", "a b", "../x", "-a", "é", "a\n", "x" * 65])
def test_a_name_is_a_plain_word(path: Path, name: str) -> None:
    with pytest.raises(KeysError, match="cannot name a key"):
        Keys(path).new(name)
    assert not path.exists()


def test_a_revoked_key_is_wrong_at_once_also_elsewhere(path: Path) -> None:
    keys, running = Keys(path), Keys(path)
    key, kept = keys.new("a"), keys.new("b")
    assert running.check(key) == "a"
    keys.revoke("a")
    assert running.check(key) is None
    assert running.check(kept) == "b"
    with pytest.raises(KeysError, match=r"no key named 'a'.*There are: b\."):
        keys.revoke("a")


def test_a_new_key_is_right_at_once_elsewhere(path: Path) -> None:
    running = Keys(path)
    assert not running.any()
    key = Keys(path).new("a")
    assert running.any()
    assert running.check(key) == "a"


def test_revoking_the_last_key_does_not_open_the_api(path: Path) -> None:
    keys = Keys(path)
    key = keys.new("a")
    keys.revoke("a")
    assert keys.any()
    assert Keys(path).any()
    assert Keys(path).check(key) is None
    assert Keys(path).names() == []


def test_a_file_that_vanishes_leaves_the_keys_known(path: Path) -> None:
    keys = Keys(path)
    key = keys.new("a")
    path.unlink()
    assert keys.check(key) == "a"
    assert keys.check("acc_other") is None
    assert keys.any()
    path.parent.rmdir()
    assert keys.check(key) == "a"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 1}',
        '{"version": 1, "keys": null}',
        '{"version": 1, "keys": ["a"]}',
        '{"version": 2, "keys": []}',
        *(
            json.dumps({"version": 1, "keys": entries})
            for entries in (
                [entry(sha256="00")],
                [entry(sha256="zz" * 32)],
                [entry(sha256=None)],
                [entry(name="a b")],
                [entry(name=7)],
                [entry(more=1)],
                [entry(scopes=["rule"])],
                [entry(scopes="label")],
                [entry(scopes=None)],
                [{"name": "a"}],
                [entry(), entry()],
            )
        ),
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_an_error_and_never_no_key(path: Path, content: str) -> None:
    running = Keys(path)
    key = running.new("a")
    good = path.read_text()
    private(path, content)
    for work in (lambda: Keys(path), running.any, lambda: running.check(key), running.names):
        with pytest.raises(KeysError, match=r"keys\.json are damaged.*Restore the file"):
            work()
    with pytest.raises(KeysError, match="damaged"):
        running.new("b")
    assert path.read_text() == content  # what may be mended by hand is not overwritten
    private(path, good)
    assert running.check(key) == "a"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o660, 0o666])
def test_a_file_that_others_may_read_is_refused(path: Path, mode: int) -> None:
    running = Keys(path)
    key = running.new("a")
    path.chmod(mode)
    for work in (lambda: Keys(path), lambda: running.check(key), running.any):
        with pytest.raises(KeysError, match=rf"mode {mode:o}\). Run: chmod 600"):
            work()
    path.chmod(0o640)  # as Kubernetes mounts a secret for a group
    assert running.check(key) == "a"


def test_a_folder_in_the_place_of_the_file(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(KeysError, match="Is a directory"):
        Keys(path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(KeysError, match=r"x/keys\.json"):
        Keys(tmp_path / "x" / "keys.json").new("a")


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys(path)
    key = keys.new("a")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeysError, match="No space left"):
        keys.new("b")
    monkeypatch.undo()
    assert keys.names() == ["a"]
    assert Keys(path).check(key) == "a"
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_processes_that_make_keys_at_once_lose_none(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from serving.api.operations.keys import Keys\n"
        "for n in range(10): Keys(Path(sys.argv[1])).new(f'{sys.argv[2]}-{n}')"
    )
    command = [sys.executable, "-c", code, str(path)]
    started = [subprocess.Popen([*command, name], cwd=ROOT) for name in "abcd"]
    assert [process.wait(60) for process in started] == [0] * 4
    assert sorted(Keys(path).names()) == sorted(f"{name}-{n}" for name in "abcd" for n in range(10))


def test_a_check_takes_no_time(path: Path) -> None:
    keys = Keys(path)
    key = [keys.new(f"key-{n}") for n in range(10)][4]
    best = min(_seconds(keys, key) for _ in range(5))
    assert best < 20e-6


def _seconds(keys: Keys, key: str) -> float:
    begun = time.perf_counter()
    for _ in range(500):
        keys.check(key)
    return (time.perf_counter() - begun) / 500


def test_every_hash_is_compared_also_after_the_right_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys(path)
    key, *_ = [keys.new(f"key-{n}") for n in range(5)]
    compared = []
    real = module.hmac.compare_digest
    monkeypatch.setattr(module.hmac, "compare_digest", lambda a, b: compared.append(b) or real(a, b))
    assert keys.check(key) == "key-0"
    assert len(compared) == 5
