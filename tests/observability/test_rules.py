"""The rules: right for Prometheus, each alert tested both ways and explained, each metric there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

import serving.api.operations.metrics  # noqa: F401 - fills the registry
from observability.addresses import METRICS_KEY, Addresses, write_configs
from observability.metric_names import JOB, MODEL_SERVER, OWN, PROCESS, PUSHED, SUPERVISOR
from tests.conftest import ROOT
from tests.observability.reports import told
from tests.observability.servers import needs_programs, shorter

FOLDER = ROOT / "observability"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
GROUPS = [
    group
    for path in sorted((FOLDER / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
SENT = {
    "AirflowTaskFailed": "warning"
}  # by dags/shared_tasks.py to Alertmanager itself; no rule of Prometheus'
NAME = re.compile(r"\b(?:accidents_|process_|model_infer_|rest_server_)\w+|\bup\b|\bALERTS\b")
RECORDED = re.compile(r"\baccidents:[\w:]+")
AT = Addresses(*(f"127.0.0.1:{port}" for port in range(1001, 1006)))


def run(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_programs
def test_the_configuration_is_right_as_it_stands_and_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / METRICS_KEY).touch()
    write_configs(tmp_path, AT)
    for folder in (FOLDER, tmp_path):
        run("promtool", "check", "config", folder / "prometheus.yml")
        run("amtool", "check-config", folder / "alertmanager.yml")
    run("promtool", "check", "rules", *(FOLDER / "rules").glob("*.yml"))


@needs_programs
@pytest.mark.slow
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_rules_pass_their_tests(path: Path) -> None:
    run("promtool", "test", "rules", path)


@needs_programs
@pytest.mark.slow
@pytest.mark.parametrize(
    ("alert", "expression"), [("EndpointDown", "vector(1)"), ("EndpointDown", "vector(1) < 0")]
)
def test_a_rule_that_is_wrong_does_not(tmp_path: Path, alert: str, expression: str) -> None:
    """One that always fires, or never."""
    for name in ("rules", "tests"):
        (tmp_path / name).mkdir()
    text = (FOLDER / "rules" / "alerts.yml").read_text(encoding="utf-8")
    wrong = text.replace(ALERTS[alert]["expr"], expression, 1)
    assert wrong != text
    (tmp_path / "rules" / "alerts.yml").write_text(wrong, encoding="utf-8")
    for name in ("objectives.yml", "recording.yml"):
        (tmp_path / "rules" / name).write_text("groups: []", encoding="utf-8")
    (tmp_path / "tests" / "service.yml").write_text(
        yaml.safe_dump({**cases_of("service"), "tests": cases_of("service")["tests"][:2]}), encoding="utf-8"
    )
    with pytest.raises(AssertionError, match=alert):
        run("promtool", "test", "rules", tmp_path / "tests" / "service.yml")


def cases_of(stem: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((FOLDER / "tests" / f"{stem}.yml").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("alert", list(ALERTS))
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_must_not(alert: str) -> None:
    cases = [
        bool(asked["exp_alerts"])
        for path in TESTS
        for case in cases_of(path.stem)["tests"]
        for asked in case["alert_rule_test"]
        if asked["alertname"] == alert
    ]
    assert set(cases) == {True, False}


def test_a_case_in_which_an_alert_must_not_fire_has_something_to_look_at() -> None:
    """A series that has ended by then makes any rule silent: no case may be silent for want of samples."""
    for path in TESTS:
        for case in cases_of(path.stem)["tests"]:
            step = seconds(case["interval"])
            at = max(seconds(asked["eval_time"]) for asked in case["alert_rule_test"])
            assert step <= 300, case["name"]  # longer than that apart, samples are none
            for series in case["input_series"]:
                assert step * samples(series["values"]) >= at, case["name"]


def seconds(text: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))


def samples(values: str) -> int:
    """Of promtool's notation: `1 0x10` are a 1 and eleven 0."""
    return sum(int(part.rpartition("x")[2]) + 1 if "x" in part else 1 for part in values.split())


@pytest.mark.parametrize("alert", list(ALERTS))
def test_every_alert_is_explained(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["labels"].get("loop") in (None, "start")
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert rule["for"]
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor == alert.lower()
    section = sections(ROOT / page)[anchor]
    for part in ("Meaning", "Look at", "Do"):
        assert f"**{part}**" in section, part
    starts = "**Loop** It starts by itself" in section
    assert starts == ("loop" in rule["labels"])


def test_every_section_is_of_an_alert_and_names_its_severity() -> None:
    page = ROOT / "docs" / "alerts.md"
    assert set(sections(page)) - {"overview", "the-objectives"} == {name.lower() for name in (*ALERTS, *SENT)}
    named = re.findall(
        r"^## (\w+)\n\n\*\*Meaning\*\* \((\w+)\) ", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(named) == {
        *((name, rule["labels"]["severity"]) for name, rule in ALERTS.items()),
        *SENT.items(),
    }


def sections(page: Path) -> dict[str, str]:
    """The text of each section, by its anchor as GitHub makes it."""
    parts = re.split(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        title.lower().replace(" ", "-"): text for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def test_the_rules_use_what_is_exposed() -> None:
    for rule in RULES:
        assert unknown(rule["expr"]) == set(), rule.get("alert") or rule["record"]
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    used = {name for rule in RULES for name in RECORDED.findall(rule["expr"])}
    assert used == recorded
    assert unknown("accidents_nothing_total + up") == {"accidents_nothing_total"}


def test_the_cases_are_about_what_is_exposed() -> None:
    for path in TESTS:
        assert unknown(path.read_text(encoding="utf-8")) == set()


def unknown(expression: str) -> set[str]:
    """Metrics of an expression that nobody exposes."""
    return named_in(expression) - exposed()


def named_in(expression: str) -> set[str]:
    """Metrics of an expression."""
    without_strings = re.sub(r'(=~?|!~?)"[^"]*"', r"\1", expression)
    return set(NAME.findall(without_strings)) - _LABELS


_LABELS = {"accidents_monitor"}  # the job


def exposed() -> set[str]:
    """Every name that Prometheus may know."""
    return {*of_the_api(), *PUSHED, *MODEL_SERVER, *SUPERVISOR, *PROCESS, *OWN}


def of_the_api() -> set[str]:
    return names(REGISTRY)


def names(registry: CollectorRegistry) -> set[str]:
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
    return {f"{one.name}{ending}" for one in registry.collect() for ending in endings.get(one.type, ("",))}


def test_what_the_supervisor_exposes_is_what_rules_may_use() -> None:
    from stacks.components.mlserver.supervisor import Metrics

    assert names(Metrics().registry) == set(SUPERVISOR)


def test_what_the_monitor_pushes_is_what_rules_may_use() -> None:
    from accidents.monitoring import gauges_and_thresholds as exposition

    pushed = {family.name: tuple(sorted(family.samples[0].labels)) for family in told().registry.collect()}
    assert pushed == {name: tuple(sorted(("model", *labels))) for name, labels in PUSHED.items()}
    assert exposition.JOB == JOB


def test_a_minute_becomes_a_second_and_nothing_else_changes() -> None:
    text = "for: 1m\nexpr: rate(x[6h]) > 2 * 86400\n  group_wait: 30s\nseverity: 5x\nrecord: a:ratio5m\n"
    expected = "for: 1s\nexpr: rate(x[360s]) > 2 * 86400\n  group_wait: 1s\nseverity: 5x\nrecord: a:ratio5m\n"
    assert shorter(text, 60) == expected
