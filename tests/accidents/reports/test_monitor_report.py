"""What a monitor run leaves behind: JSON of a stable schema, a page, pictures, metrics."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from accidents.monitoring.gauges_and_thresholds import exposition
from accidents.monitoring.measurements import CallerLabels, MonitorReport
from accidents.reports.monitor import strength, write_monitor
from tests.monitor_reports import CHAMPION, drift, feature, measurements, performance, report

SCHEMA = Path(__file__).parents[3] / "references" / "monitor_report.schema.json"
DRIFTED = report(measurements(drift=drift(["light"], missing=["hour"]), performance=performance(True)))
BARE = report(measurements(drift=None, performance=None, window={"rows": 0, "labelled": 0}))


def test_the_schema_is_the_published_one() -> None:
    """Programs read monitor.json: write the schema anew with it, and raise SCHEMA if that breaks them."""
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == MonitorReport.model_json_schema()


@pytest.mark.parametrize("told", [DRIFTED, BARE])
def test_the_files_are_written_and_the_json_comes_back(told: MonitorReport, tmp_path: Path) -> None:
    write_monitor(tmp_path, told, [BARE, told])
    again = MonitorReport.model_validate_json((tmp_path / "monitor.json").read_text(encoding="utf-8"))
    assert again == told
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"<h1>Monitor: {told.decision.action}</h1>" in page
    assert all(reason.split(":")[0] in page for reason in told.decision.reasons)
    assert (tmp_path / "history.png").stat().st_size > 5_000
    assert (tmp_path / "features.png").exists() == (told.measurements.drift is not None)


def test_callers_labels_are_in_the_page_and_the_metrics(tmp_path: Path) -> None:
    wrong = CallerLabels(caller="lyon", compared=200, disagreeing=50, p_value=1e-20, beyond_chance=True)
    right = CallerLabels(caller="lille", compared=100, disagreeing=4, p_value=0.7, beyond_chance=False)
    told = report(measurements(labels=(wrong, right)))
    write_monitor(tmp_path, told, [told])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Outcomes that callers gave" in page
    assert page.count("more than chance") == 1
    found = samples(told)
    assert found["accidents_monitor_labels_disagreeing", (("caller", "lyon"),)] == 0.25
    assert found["accidents_monitor_labels_disagreeing", (("caller", "lille"),)] == 0.04


def test_names_from_outside_are_escaped_in_the_page(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    write_monitor(tmp_path, report(measurements(window={"source": name, "from_log": False})), [])
    assert name not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_strength_is_one_at_the_threshold_for_distances_and_p_values() -> None:
    at = feature("hour").model_copy(update={"statistic": 0.1, "threshold": 0.1})
    assert strength(at) == pytest.approx(1)
    p_value = at.model_copy(update={"method": "ks", "statistic": 0.001, "threshold": 0.001})
    assert strength(p_value) == pytest.approx(1)
    assert (
        strength(p_value.model_copy(update={"statistic": 1e-9}))
        > 1
        > strength(p_value.model_copy(update={"statistic": 0.5}))
    )


def samples(told: MonitorReport) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    text = exposition(told, CHAMPION, moment, {("train", "ok"): (2, moment)}).text()
    return {
        (one.name, tuple(sorted(one.labels.items() - {("model", CHAMPION.name)}))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.labels["model"] == CHAMPION.name
    }


def test_metrics_say_what_the_report_says() -> None:
    found = samples(DRIFTED)
    assert found["accidents_monitor_decision", (("action", "retrain"),)] == 1
    assert found["accidents_monitor_decision", (("action", "keep"),)] == 0
    assert found["accidents_monitor_trigger", (("kind", "missing"),)] == 1
    assert found["accidents_monitor_drifted_features", ()] == 1
    assert found["accidents_monitor_feature_drifted", (("feature", "light"),)] == 1
    assert found["accidents_monitor_missing_share", (("feature", "hour"), ("of", "window"))] == 0.5
    assert found["accidents_monitor_performance", (("end", "low"), ("metric", "roc_auc"))] == pytest.approx(
        0.68
    )
    assert found["accidents_monitor_expected_performance", (("metric", "roc_auc"),)] == 0.81
    assert found["accidents_loop_outcomes", (("outcome", "ok"), ("stage", "train"))] == 2
    assert found["accidents_champion_info", (("version", "3"),)] == 1
    assert (
        found["accidents_champion_learnt_until_timestamp_seconds", ()]
        == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    )


def test_what_is_not_known_is_not_told() -> None:
    names = {name for name, _ in samples(BARE)}
    assert "accidents_monitor_rows" in names
    assert not {name for name in names if "feature" in name or "performance" in name}
