"""A file of keys that a cluster mounts is root's and readable by the pod's group, and nobody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serving.api.operations.keys import is_too_open


@pytest.mark.parametrize(
    ("mode", "user", "groups", "too_open"),
    [
        (0o440, 10001, [10001], False),
        (0o460, 10001, [10001], True),
        (0o444, 10001, [10001], True),
        (0o440, 10001, [20002], True),
        (0o440, 0, [10001], True),
        (0o400, 0, [0], False),
    ],
)
def test_only_its_own_group_may_read_a_file_of_roots(
    mode: int, user: int, groups: list[int], too_open: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.json"
    file.touch()
    file.chmod(mode)
    there = list(file.stat())
    there[4], there[5] = 0, 10001  # root's, and of the group that the pod is given
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(os, "getgid", lambda: groups[0])
    monkeypatch.setattr(os, "getgroups", lambda: groups)
    assert is_too_open(os.stat_result(there)) == too_open
