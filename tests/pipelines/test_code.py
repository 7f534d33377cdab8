"""Whose code a run is made of: told, and refused where an image's is not this clone's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import pytest

from accidents.errors import SettingsError
from accidents.source_code import tree_version
from pipelines import code
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Steps:
    """An orchestrator whose steps run in an image with these labels."""

    labels: Mapping[str, str] = field(default_factory=dict)
    image: str = "accidents:1"
    data_remote: str = "/remote"
    keeps_here: bool = True

    def image_facts(self) -> tuple[str, Mapping[str, str]]:
        return "sha256:abc", self.labels


def use(monkeypatch: pytest.MonkeyPatch, **labels: str) -> None:
    names = {"commit": code.REVISION, "code": code.CODE}
    steps = Steps({names[name]: value for name, value in labels.items()})
    monkeypatch.setattr(code, "image_orchestrator", lambda: steps)


def test_a_run_in_an_image_is_made_of_what_the_image_is(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, commit=COMMIT)
    assert code.code_used() == {"git_commit": COMMIT, "image": "sha256:abc"}
    assert code.code_used(here=True)["image"] == "no image"


@pytest.mark.usefixtures("zenml_store")  # importing a pipeline asks ZenML for its environment
@pytest.mark.parametrize(
    ("pipeline", "keeps_here", "here"),
    [("deploy", True, True), ("deploy", False, False), ("verify", False, False), ("inference", True, False)],
)
def test_what_steers_what_serves_is_of_this_machine_only_where_it_runs_on_it(
    pipeline: str, keeps_here: bool, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "image_orchestrator", lambda: Steps(keeps_here=keeps_here))
    assert code.runs_here(getattr(import_module(f"pipelines.{pipeline}"), pipeline)) is here


@pytest.mark.parametrize("code_label", [None, "unknown", "ours"])
def test_an_image_of_this_code_or_that_does_not_tell_is_taken(
    monkeypatch: pytest.MonkeyPatch, code_label: str | None
) -> None:
    told = {"code": tree_version() if code_label == "ours" else code_label} if code_label else {}
    use(monkeypatch, commit=COMMIT, **told)
    code.require_own_code()


@pytest.mark.parametrize(
    ("known", "word"), [(False, "does not have that commit: it is older"), (True, "has gone on since")]
)
def test_an_image_of_other_code_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, known: bool, word: str
) -> None:
    use(monkeypatch, commit=COMMIT, code="of another clone")
    monkeypatch.setattr(code, "has_commit", lambda commit: known and commit == COMMIT)
    with pytest.raises(SettingsError, match=f"accidents:1, made of commit 0123456789ab.*{word}") as refused:
        code.require_own_code()
    assert "make images" in str(refused.value)


def test_the_hash_of_the_code_is_of_what_steps_run_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "one.py").write_text("1")
    first = tree_version(tmp_path)
    for other in ("stacks/local.yaml", "docs/page.py", "steps/__pycache__/one.pyc"):
        (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / other).write_text("other")
        assert tree_version(tmp_path) == first
    (tmp_path / "steps" / "one.py").write_text("2")
    second = tree_version(tmp_path)
    (tmp_path / "steps" / "one.py").rename(tmp_path / "steps" / "two.py")
    assert len({first, second, tree_version(tmp_path)}) == 3
