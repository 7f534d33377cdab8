"""The reference names every command, key, route, metric, alert and module there is, with what each means."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
import yaml

from accidents.config import read_yaml
from accidents.params import Params
from documentation.configuration import Source, keys_of, sources
from documentation.generated import generated_pages
from documentation.yaml_comments import comments
from observability.metric_names import MODEL_SERVER, OWN, PROCESS, PUSHED, SUPERVISOR
from serving.api.operations.metrics import exposition
from serving.api.routes import router
from tests.commands.test_command_line import OPTIONS
from tests.conftest import ROOT

SOURCES = tuple(sources())
FILES = {
    "params.yaml": ["params.yaml"],
    "configs/PIPELINE.yaml": [
        f"configs/{name}.yaml"
        for name in ("train", "deploy", "inference", "monitor", "verify", "recalibrate", "replay")
    ],
    "configs/api.yaml": ["configs/api.yaml"],
    "configs/loop.yaml": ["configs/loop.yaml"],
    "configs/watch.yaml": ["configs/watch.yaml"],
}


@cache
def pages() -> dict[str, str]:
    return generated_pages(ROOT)


def section(page: str, title: str) -> str:
    """What stands under a heading of a reference page."""
    _, found, rest = pages()[f"reference/{page}.md"].partition(f"\n## {title}\n")
    assert found, title
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("command", OPTIONS)
def test_every_command_is_there_with_its_options(command: str) -> None:
    told = section("command_line", f"run.py {command}")
    assert {option for option in OPTIONS[command] if option not in told} == set()


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.title)
def test_every_key_of_a_model_is_there(source: Source) -> None:
    told = section("configuration", source.title)
    assert {key for key in keys_of(source) if f"\n| `{key}` | " not in told} == set()


@pytest.mark.parametrize("source", [one for one in SOURCES if one.title in FILES], ids=lambda one: one.title)
def test_every_key_of_our_files_is_there_with_its_comment(source: Source) -> None:
    """Beyond the models: what the files themselves hold, read as a person reads them."""
    told = section("configuration", source.title)
    for file in FILES[source.title]:
        keys = {f"`{key}`" for key in read_yaml(ROOT / file)}
        assert {key for key in keys if key not in told} == set()
    said = comments((ROOT / source.comments).read_text(encoding="utf-8"))
    assert said
    plain = told.replace("\\", "")
    assert {key: text for key, text in said.items() if text[1:].rstrip(".") not in plain} == {}


def test_a_key_without_a_comment_has_its_meaning_from_the_docstring() -> None:
    told = section("configuration", "configs/PIPELINE.yaml")
    (row,) = [line for line in told.splitlines() if line.startswith("| `dask.kubernetes.idle_timeout` | ")]
    assert "the operator removes a cluster that nobody ended" in row
    (row,) = [line for line in told.splitlines() if line.startswith("| `dask.kubernetes.memory` | ")]
    assert "cpu, memory: what a worker asks for" in row


def rows(title: str) -> dict[str, dict[str, str]]:
    """The keys of a kind of settings file, each with its cells by what stands above them."""
    found: dict[str, dict[str, str]] = {}
    head: list[str] = []
    for line in section("configuration", title).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells[:1] == ["key"]:
            head = cells
        elif cells and cells[0].startswith("`"):
            found[cells[0].strip("`")] = dict(zip(head, cells, strict=True))
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.title)
def test_a_unit_is_the_one_that_the_meaning_says(source: Source) -> None:
    every = rows(source.title)
    numbers = {key: row for key, row in every.items() if re.search("integer|number", row["type"])}
    for unit, words in (("seconds", r"\bseconds\b"), ("percent", r"\bpercents?\b")):
        said = {key for key, row in numbers.items() if re.search(words, row.get("meaning", ""), re.I)}
        assert {key for key in said if numbers[key].get("unit") != unit} == set()


def test_a_limit_of_tries_or_jobs_is_not_one_of_bytes() -> None:
    in_bytes = {key for one in SOURCES for key, row in rows(one.title).items() if row.get("unit") == "bytes"}
    assert in_bytes == {"body_limit", "header_limit"}


def test_every_default_is_the_one_that_params_have() -> None:
    told = {key: row["default"] for key, row in rows("params.yaml").items()}
    have = dict(_values(Params().model_dump(mode="json")))
    assert len(have) > 50
    assert {key: told[key] for key, value in have.items() if json.loads(told[key].strip("`")) != value} == {}


def _values(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and f"{path}{key}" != "evaluation.bands":
            yield from _values(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def test_every_config_file_is_described() -> None:
    described = {file for files in FILES.values() for file in files}
    there = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "configs").glob("*.yaml")
        if "." not in path.stem
    }
    assert there | {"params.yaml"} == described


def test_every_route_of_the_api_is_there() -> None:
    page = pages()["reference/http_api.md"]
    routes = {
        f"\n## {method} {route.path}\n"  # type: ignore[attr-defined]
        for route in router.routes
        if getattr(route, "include_in_schema", False)
        for method in route.methods - {"HEAD", "OPTIONS"}  # type: ignore[attr-defined]
    }
    assert len(routes) >= 8
    assert {route for route in routes if route not in page} == set()
    assert "| `latitude` | number" in page


def test_every_metric_is_there_with_what_it_means() -> None:
    page = pages()["reference/metrics_and_alerts.md"]
    exposed = {
        line.split()[2] for line in exposition().decode().splitlines() if line.startswith("# TYPE accidents_")
    }
    ours = {name for name in exposed if not name.endswith("_created")}
    assert len(ours) > 20
    names = ours | set(PUSHED) | set(MODEL_SERVER) | set(SUPERVISOR) | set(PROCESS) | set(OWN)
    assert {name for name in names if f"`{name}`" not in page} == set()
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `accidents_")}
    assert {
        name for name in ours | set(PUSHED) if not rows[name].rstrip("| ").split("|")[-1].strip()
    } == set()


@pytest.mark.parametrize(
    ("file", "kind"), [("alerts.yml", "alert"), ("objectives.yml", "record"), ("recording.yml", "record")]
)
def test_every_rule_is_there(file: str, kind: str) -> None:
    page = pages()["reference/metrics_and_alerts.md"]
    groups = yaml.safe_load((ROOT / "observability" / "rules" / file).read_text())["groups"]
    rules = {rule[kind]: rule for group in groups for rule in group["rules"]}
    assert {
        name for name in rules if f"`{name}`" not in page and f"[{name}](../alerts.md#" not in page
    } == set()
    summaries = {rule["annotations"]["summary"] for rule in rules.values() if "annotations" in rule}
    assert {text for text in summaries if text not in page} == set()


def test_every_module_of_the_domain_is_there() -> None:
    told = "\n".join(text for page, text in pages().items() if page.startswith("reference/python/"))
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in (ROOT / "accidents").iterdir()
        if (room / "__init__.py").exists()
        for path in room.rglob("[!_]*.py")
        if "migrations" not in path.parts
    }
    assert len(modules) > 80
    assert {module for module in modules if f"\n::: {module}\n" not in told} == set()
