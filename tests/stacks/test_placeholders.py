"""What a stack file leaves open: filled from the shell, the `.env`, or what the file says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from accidents.__about__ import __version__
from stacks.errors import StackError
from stacks.placeholders import fill


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZENML_CUSTOM_SOURCE_ROOT", str(tmp_path))
    monkeypatch.setenv("ZENML_CONFIG_PATH", str(tmp_path / "store"))
    monkeypatch.delenv("ELSEWHERE", raising=False)
    return tmp_path


def test_the_shell_wins_over_the_file_and_both_over_what_is_said_otherwise(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fill("s3://${ELSEWHERE:-zenml}", "here") == "s3://zenml"
    (root / ".env").write_text("ELSEWHERE=of-the-file\n")
    (root / ".env").chmod(0o600)
    assert fill({"a": ["${ELSEWHERE}"]}, "here") == {"a": ["of-the-file"]}
    monkeypatch.setenv("ELSEWHERE", "of-the-shell")
    assert fill("${ELSEWHERE:-zenml}", "here") == "of-the-shell"


def test_what_is_missing_is_named_and_passwords_that_others_may_read_are_refused(root: Path) -> None:
    with pytest.raises(StackError, match=r"here needs the environment variable ELSEWHERE"):
        fill("${ELSEWHERE}", "here")
    (root / ".env").write_text("ELSEWHERE=a-secret\n")
    (root / ".env").chmod(0o644)
    with pytest.raises(StackError, match="others may read it: chmod 600") as raised:
        fill("${ELSEWHERE}", "here")
    assert "a-secret" not in str(raised.value)


def test_folders_of_this_machine_may_stay_open(root: Path) -> None:
    assert fill("{root}/${ELSEWHERE:-x}", "here") == f"{root}/x"
    assert fill("{root}/${ELSEWHERE:-x}", "here", here=False) == "{root}/x"
    assert fill("image:{version}", "here") == f"image:{__version__}"
    assert fill("image:{version}", "here", here=False) == "image:{version}"
