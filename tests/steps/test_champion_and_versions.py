"""Versions in a real ZenML store: what is half made is never chosen, and nobody is overlooked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from accidents.bundle import Bundle, load_bundle
from accidents.errors import BundleError
from steps.folder import Folder
from steps.support import champion_and_versions
from steps.support.champion_and_versions import ChampionChangedError, RegistryError
from steps.support.references import VersionReference
from tests.model_servers import forge, make_version
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]

Register = Callable[..., Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_version(tmp_path_factory.mktemp("bundle"), seed=1).bundle


@pytest.fixture
def register(zenml_store: Path, bundle: Bundle, request: pytest.FixtureRequest) -> Iterator[Register]:
    """Makes versions of a model of the test's own, on a stack without a model registry."""
    from zenml import log_metadata, save_artifact
    from zenml.client import Client
    from zenml.model.utils import link_artifact_version_to_model_version

    client, name = Client(), request.node.name[:60]
    client.create_model(name)

    def make(finished: bool = True, **facts: str) -> Any:
        made = client.create_model_version(name)
        if finished:
            stored = save_artifact(Folder(bundle.folder), champion_and_versions.BUNDLE)
            link_artifact_version_to_model_version(stored, made)
            log_metadata(metadata={"bundle": bundle.digest, **facts}, model_version_id=made.id)
        return client.get_model_version(name, made.number)

    yield make
    client.delete_model(name)


def number(name: str) -> str | None:
    now = champion_and_versions.champion(name)
    return str(now.number) if now else None


def test_what_a_crash_left_is_never_chosen_and_is_archived_by_the_next_promotion(
    register: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    good, half = register(identity="a"), register(finished=False)
    name = good.model.name
    assert [one.number for one in champion_and_versions.versions(name)] == [1]
    with pytest.raises(
        RegistryError, match=r"Version 2 .* is no use.*ended while it was registered.*are: 1\."
    ):
        champion_and_versions.version(name, "2")
    champion_and_versions.promote(good, "by hand")
    assert number(name) == "1"
    assert "version 2" in capsys.readouterr().err
    from zenml.client import Client

    dead = Client().get_model_version(name, half.number)
    assert dead.stage == "archived"
    assert "Never finished" in dead.description


def test_a_version_is_known_by_what_it_was_made_from(register: Register) -> None:
    first, second = register(identity="a"), register(identity="b")
    name = first.model.name
    assert champion_and_versions.with_identity(name, "a").number == first.number
    assert champion_and_versions.with_identity(name, "b").number == second.number
    assert champion_and_versions.with_identity(name, "c") is None


def test_a_candidate_judged_against_another_champion_is_not_promoted(register: Register) -> None:
    first, second, third = register(), register(), register()
    name = first.model.name
    champion_and_versions.promote(first, "first", against=None)
    with pytest.raises(ChampionChangedError) as raised:
        champion_and_versions.promote(second, "judged against nobody", against=None)
    assert raised.value.champion == "1"
    assert number(name) == "1"
    champion_and_versions.promote(third, "better", against="1")
    assert number(name) == "3"
    with pytest.raises(ChampionChangedError):
        champion_and_versions.check_champion(name, "1")
    before, now = champion_and_versions.rollback(name)
    assert (before.number, now.number) == (1, 3)


def test_two_machines_that_promote_in_the_same_moment_see_each_other(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a lock of its own: the second writes between the first one's look and its step."""
    first, second, third = register(), register(), register()
    name = first.model.name
    champion_and_versions.promote(first, "first", against=None)
    monkeypatch.setattr(champion_and_versions, "changing", nullcontext)
    check, inner = champion_and_versions.check_champion, []

    def interrupted(name: str, against: str | None) -> None:
        check(name, against)
        if not inner:
            inner.append("once")
            champion_and_versions.promote(third, "of the other machine", against="1")

    monkeypatch.setattr(champion_and_versions, "check_champion", interrupted)
    with pytest.raises(ChampionChangedError) as raised:
        champion_and_versions.promote(second, "judged against version 1", against="1")
    assert raised.value.champion == "3"
    assert number(name) == "3", "who came first stays, and the other is judged against it"


def test_a_bundle_that_is_whole_and_not_the_registered_one_is_refused(
    register: Register, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zenml.client import Client

    one = register()
    stored = Path(one.get_artifact(champion_and_versions.BUNDLE).uri) / "files"
    forge(stored)
    assert load_bundle(stored).threshold == 0.01, "its manifest is in order"
    with pytest.raises(BundleError, match="not the bundle that was registered"):
        champion_and_versions.promote(Client().get_model_version(one.model.id, one.id), "by hand")
    assert champion_and_versions.champion(one.model.name) is None


def test_a_step_that_loads_such_a_bundle_refuses_it_naming_the_version(
    bundle: Bundle, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bundle.folder, tmp_path / "bundle"))
    version = VersionReference(name="m", version="3", artifact="", uri="", digest=bundle.digest)
    assert version.load(Folder(folder)).digest == bundle.digest
    forge(folder)
    with pytest.raises(BundleError, match=r"m version 3: .*not the bundle that was registered"):
        version.load(Folder(folder))


def test_a_version_names_the_loop_that_made_it_until_something_is_recorded(register: Register) -> None:
    from zenml import log_metadata

    by_hand, made = register(), register(loop="a loop")
    assert champion_and_versions.made_by_loop(by_hand) is None
    assert champion_and_versions.made_by_loop(made) == "a loop"
    champion_and_versions.record_loop(made, probation="passed")
    again = champion_and_versions.version(made.model.name, "2")
    assert champion_and_versions.made_by_loop(again) is None
    log_metadata(metadata={"loop": "another"}, model_version_id=made.id)
    again = champion_and_versions.version(made.model.name, "2")
    assert champion_and_versions.made_by_loop(again) == "another"
