"""What may be said of how a pipeline runs: strictly what ZenML knows, at any depth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from accidents.config import parse
from accidents.errors import SettingsError
from pipelines.config import PipelineConfig, load_config
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"setings": {}}, "`setings`, did you mean `settings`"),
        ({"settings": {"dokcer": {}}}, "`settings.dokcer`, did you mean `docker`"),
        ({"settings": {"docker": {"parent_imag": "a"}}}, "did you mean `parent_image`"),
        ({"settings": {"resources": {"memory": "4 gigs"}}}, "`settings.resources.memory`"),
        ({"steps": {"train_model": {"settings": {"docker": {"user_": "a"}}}}}, "did you mean `user`"),
        ({"schedule": {"cron": "0 3 * * *"}}, "did you mean `cron_expression`"),
        ({"schedule": {}}, "cron expression"),
    ],
)
def test_what_zenml_would_pass_over_is_refused(content: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        parse(PipelineConfig, content, "configs/train.yaml")


def test_zenml_is_told_what_was_said_and_no_more() -> None:
    said: dict[str, Any] = {
        "settings": {"docker": {"parent_image": "a:1"}, "resources": {"cpu_count": 2}},
        "steps": {"train_model": {"retry": {"max_retries": 1}, "settings": {"resources": {"memory": "4GB"}}}},
    }
    options = parse(PipelineConfig, said, "configs/train.yaml").options()
    assert options == {"enable_cache": True, **said}


def test_without_the_cache_a_schedule_stays_one() -> None:
    cron = parse(PipelineConfig, {"schedule": {"cron_expression": "0 3 * * 1"}}, "configs/train.yaml")
    options = cron.with_cache(False).options()
    assert (options["enable_cache"], options["schedule"]) == (False, cron.schedule)
    assert "schedule" not in cron.now().options()


def test_a_step_that_is_not_there_is_refused_with_the_nearest() -> None:
    config = parse(PipelineConfig, {"steps": {"train_modle": {}}}, "configs/train.yaml")
    with pytest.raises(SettingsError, match=r"`steps.train_modle`, did you mean `train_model`"):
        config.check_steps(["split_data", "train_model"])


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_ours_are_valid(path: Path) -> None:
    if path.stem not in ("api", "loop", "watch"):
        load_config(path.stem.partition(".")[0], "local", path.parent, path)


@pytest.mark.parametrize(
    ("pipeline", "said", "cached"),
    [
        ("monitor", "{}", False),
        ("deploy", "retry: {max_retries: 1}", False),
        ("train", "{}", True),
        ("monitor", "enable_cache: true", True),
    ],
)
def test_a_given_file_that_says_nothing_of_the_cache_leaves_it(
    pipeline: str, said: str, cached: bool, tmp_path: Path
) -> None:
    given = tmp_path / "mine.yaml"
    given.write_text(said, encoding="utf-8")
    assert load_config(pipeline, "local", ROOT / "configs", given).enable_cache is cached


def test_what_works_on_the_world_outside_is_never_taken_from_the_cache() -> None:
    """Whatever a configuration says of the whole pipeline: "serves" would be told of what does not serve."""
    outside = re.compile(r"\bopened_store\b|_endpoints?\(|champion_and_versions\.promote|\bregister\(")
    theirs = [
        path
        for path in (ROOT / "steps").rglob("*.py")
        if (text := path.read_text(encoding="utf-8")).count("\n@step") and outside.search(text)
    ]
    assert len(theirs) > 10
    cacheable = {path.stem for path in theirs if "\n@step(enable_cache=False)" not in path.read_text("utf-8")}
    assert cacheable == {"register_model"}  # pipelines/train.py says when it is


def test_training_in_pods_tries_a_step_once_more() -> None:
    stacks = {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["components"]
        for path in (ROOT / "stacks").glob("*.yaml")
    }
    for name, components in stacks.items():
        tries = load_config("train", name, ROOT / "configs").retry.max_retries
        in_pods = components.get("orchestrator", {}).get("flavor") == "kubernetes_image"
        assert tries == (1 if in_pods else 0), name
