"""params.yaml is read strictly: a mistake stops before anything runs, and names the nearest valid key."""

from pathlib import Path

import pytest

from accidents.errors import SettingsError
from accidents.files import ROOT
from accidents.params import load_params


def params(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_projects_own_params_are_valid() -> None:
    read = load_params(ROOT / "params.yaml")
    assert read.data.source == "sample"
    assert read.gates, "a project without gates promotes nothing"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seeds: 3", "unknown key `seeds`, did you mean `seed`?"),
        ("data: {yeers: [2018]}", "unknown key `data.yeers`, did you mean `years`?"),
        ("data: {sample: {accidents_year: 3}}", "did you mean `accidents_per_year`?"),
        ("model: {learning_rat: 0.1}", "did you mean `learning_rate`?"),
        ("zzz: 1", "valid keys here: data, evaluation,"),
        ("stage: dispach", "`stage` input should be 'dispatch' or 'on_scene' (got 'dispach')"),
        ("data: {years: []}", "name at least one year"),
        (
            "split: {test_year: 2019}",
            "split.test_year 2019 is not among data.years 2021, 2022; nearest: 2021",
        ),
        ("evaluation: {budget: 2}", "`evaluation.budget` input should be less than 1 (got 2)"),
        ("gates: [{metric: roc_ac, min: 0.5}]", "roc_auc"),
        ("gates: [{metrik: roc_auc, min: 0.5}]", "unknown key `gates.0.metrik`, did you mean `metric`?"),
        ("gates: [{metric: roc_auc}]", "would refuse nothing"),
        ("promotion: {metric: prauc}", "is no metric that ranks models; nearest: 'pr_auc'"),
        ("split: {method: random, test_year: 2022}", "test_year 2022 means nothing where method is random"),
        ("split: {test_share: 0.7, calibration_share: 0.45}", "leave nothing to train on"),
        ("split: {test_share: 0.55, calibration_share: 0.45}", "leave nothing to train on"),
        (
            "monitor: {probation: {canary: [5], minutes: 10, every_seconds: 300, min_probes: 2}}",
            "`monitor.probation` must allow 4 looks at each share of the `canary`, and allows 2: one that "
            "fails would not be found, for looks within 10 s see nothing. "
            "Set `min_probes` to 4, or `minutes` higher",
        ),
        (
            "monitor: {probation: {canary: [5], minutes: 1, min_probes: 1}}",  # at 0, 10, 20 and 30 s
            "must allow 5 looks at each share of the `canary`, and allows 4",
        ),
        (
            "monitor: {probation: {canary: [5], minutes: 0.4, every_seconds: 2}}",  # of 7 one is after 10 s
            "must allow 9 looks at each share of the `canary`, and allows 7",
        ),
        ("data: {version: main}", "`data.version`"),
        ("- a list", "must hold keys and values, not a list"),
        ("a: [1", "cannot be read as YAML"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_params(params(tmp_path, text))
    assert told in str(raised.value)
    assert "params.yaml" in str(raised.value)


@pytest.mark.parametrize(
    "probation",
    ["{canary: [5, 25]}", "{canary: [5], min_probes: 1}", "{minutes: 0, every_seconds: 600, min_probes: 1}",
     "{canary: [5], minutes: 0, min_probes: 5}", "{canary: [5], minutes: 1.4, min_probes: 1}",
     "{canary: [5], minutes: 0.4, every_seconds: 2, min_probes: 9}",
     "{canary: [5], minutes: 10, every_seconds: 100, min_probes: 1}"],
)  # fmt: skip
def test_a_canary_needs_looks_enough_to_see_it_fail(tmp_path: Path, probation: str) -> None:
    load_params(params(tmp_path, f"monitor: {{probation: {probation}}}"))


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"seeds.*evaluation\.budget|evaluation\.budget.*seeds"):
        load_params(params(tmp_path, "seeds: 1\nevaluation: {budget: 9}"))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load_params(tmp_path / "nowhere.yaml")


def test_on_is_a_key_not_a_boolean(tmp_path: Path) -> None:
    read = load_params(params(tmp_path, "gates: [{metric: roc_auc, min: 0.5, on: low}]"))
    assert read.gates[0].on == "low"


def test_the_command_line_lies_over_the_file(tmp_path: Path) -> None:
    path = params(tmp_path, "seed: 1\ndata: {years: [2018]}")
    read = load_params(path, {"seed": 2, "data.years": [2024, 2018, 2024], "split.test_year": 2024})
    assert (read.seed, read.data.years, read.split.test_year) == (2, (2018, 2024), 2024)


@pytest.mark.parametrize("text", ["", "data:", "data: {}"])
def test_the_command_line_fills_a_section_that_is_empty(tmp_path: Path, text: str) -> None:
    assert load_params(params(tmp_path, text), {"data.years": [2018]}).data.years == (2018,)


def test_the_command_line_over_a_section_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="`data` must hold keys and values, not 3"):
        load_params(params(tmp_path, "data: 3"), {"data.years": [2018]})


def test_params_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_params(params(tmp_path, "")).seed = 3  # type: ignore[misc]
