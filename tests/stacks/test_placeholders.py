"""What a stack file leaves open: filled from the shell, the `.env`, or what the file says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from accidents.__about__ import __version__
from stacks.definition import read_stack
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


def test_what_is_said_otherwise_may_need_a_variable_and_only_then(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "${ELSEWHERE:-http://me:${NOT_SET_HERE}@127.0.0.1:${PORT_HERE:-5000}/{version}}/a"
    with pytest.raises(StackError, match="NOT_SET_HERE, which is not set"):
        fill(text, "here")
    (root / ".env").write_text("PORT_HERE=5001\nNOT_SET_HERE=x\n")
    (root / ".env").chmod(0o600)
    assert fill(text, "here") == f"http://me:x@127.0.0.1:5001/{__version__}/a"
    monkeypatch.setenv("ELSEWHERE", "http://${NOT_SET_HERE}")
    assert fill(text, "here") == "http://${NOT_SET_HERE}/a", "what the shell says is as it is"


@pytest.mark.parametrize("stack", ["docker", "staging"])
def test_a_stack_asks_the_platform_at_the_ports_of_its_env_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, stack: str
) -> None:
    for name in ("MLFLOW_SERVER", "S3_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    secrets = ("MLFLOW_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY")
    given = {"MLFLOW_PORT": "5001", "S3_PORT": "7071"} | dict.fromkeys(secrets, "x")
    (root / ".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    (root / ".env").chmod(0o600)
    definition = read_stack(stack)
    assert definition.settings("experiment_tracker")["tracking_uri"] == "http://127.0.0.1:5001"
    if stack == "staging":
        endpoint = definition.settings("artifact_store")["client_kwargs"]["endpoint_url"]
        assert endpoint == "http://127.0.0.1:7071"


def test_folders_of_this_machine_may_stay_open(root: Path) -> None:
    assert fill("{root}/${ELSEWHERE:-x}", "here") == f"{root}/x"
    assert fill("{root}/${ELSEWHERE:-x}", "here", here=False) == "{root}/x"
    assert fill("image:{version}", "here") == f"image:{__version__}"
    assert fill("image:{version}", "here", here=False) == "image:{version}"
