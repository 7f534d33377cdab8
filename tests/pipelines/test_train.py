"""The train pipeline as people run it: the tests of this file run in order, on one project."""

import json
import re
from pathlib import Path

import pytest

from tests.pipelines.conftest import Project

pytestmark = pytest.mark.slow

PICTURES = ("roc_and_pr", "calibration", "lift", "slices", "map", "importance", "shap_summary")
PAGES = ("model_card", "quality_report", "data_quality", "data_drift")
MLFLOW = """
from zenml.client import Client
tracker = Client().active_stack.experiment_tracker
tracker.configure_mlflow()
from mlflow import MlflowClient
client = MlflowClient()
name = "accident-severity-dispatch"
"""


BUNDLES = "artifacts/build_bundle/bundle/*/*/files/manifest.json"


def summary(project: Project) -> dict:
    return json.loads((project.folder / "reports" / "summary.json").read_text())


def steps_cached(output: str) -> tuple[int, int]:
    cached, steps = re.search(r"(\d+) of (\d+) steps cached", output).groups()
    return int(cached), int(steps)


def test_the_first_run_trains_registers_promotes_and_reports(project: Project) -> None:
    done = project("--pipeline", "train", cold=True)  # a clean copy, started as a person starts it
    assert "Promoted" in done.stdout
    assert "synthetic sample" in done.stdout
    for row in ("model", "prevalence", "logistic regression", "random forest"):
        assert re.search(rf"^\W*{row}\W", done.stdout, re.M), row
    assert "Traceback" not in done.stdout + done.stderr
    for name in PICTURES:
        assert (project.folder / "reports" / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    for name in PAGES:
        assert "<html" in (project.folder / "reports" / f"{name}.html").read_text().lower(), name
    assert summary(project)["champion_version"] == "1"


def test_the_tracked_run_and_the_version_carry_data_code_and_params(project: Project) -> None:
    printed = project.python(
        MLFLOW
        + """
import json
version = client.get_model_version_by_alias(name, "champion")
run = client.get_run(version.run_id)
files = [f.path for f in client.list_artifacts(run.info.run_id, "reports")]
data = run.data
found = {"version": version.tags, "tags": data.tags, "files": files}
found |= {"params": data.params, "metrics": data.metrics}
print(json.dumps(found))
"""
    )
    found = json.loads(printed.strip().splitlines()[-1])
    version = summary(project)["data_version"]
    assert re.fullmatch(r"[0-9a-f]{32}\.dir", version)
    for tags in (found["version"], found["tags"]):
        assert tags["data_version"] == version
        assert tags["git_commit"] == "unknown" or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", tags["git_commit"])
        assert tags["image"] == "no image"
    assert found["params"]["data.sample.accidents_per_year"] == "4000"
    assert found["metrics"]["roc_auc"] == pytest.approx(
        summary(project)["evaluations"]["model"]["metrics"]["roc_auc"]["value"]
    )
    assert {"reports/roc_and_pr.png", "reports/data_drift.html"} <= set(found["files"])


def test_the_registered_model_gives_the_bundles_probabilities(project: Project) -> None:
    printed = project.python(
        MLFLOW
        + """
import mlflow, numpy as np
from steps.support import registry
bundle = registry.bundle_of(registry.champion(name))
import pandas as pd
rows = pd.read_parquet(bundle.folder / "reference.parquet")[bundle.features]
loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
print(np.abs(loaded.predict(rows.astype(float)) - bundle.predict(rows.to_numpy("float32"))).max())
"""
    )
    assert float(printed.strip().splitlines()[-1]) < 1e-9


def test_the_dashboard_has_the_pictures(project: Project) -> None:
    printed = project.python("""
from zenml.client import Client
run = Client().get_pipeline("train").last_run
outputs = {"draw_reports": "reports", "validate_data": "data_reports",
           "report_quality": "quality_report", "summarise": "summary"}
for step, output in outputs.items():
    for one in run.steps[step].outputs[output][0].visualizations:
        print(one.type, one.uri.rsplit("/", 1)[-1])
""")
    for name in PICTURES:
        assert f"image {name}.png" in printed
    for name in PAGES:
        assert f"html {name}.html" in printed


def test_a_second_run_is_cached_and_keeps_the_champion(project: Project) -> None:
    done = project("--pipeline", "train")
    cached, steps = steps_cached(done.stdout)
    assert cached >= steps - 3, (
        "only judging, promoting and the summary may run again: there is a champion now"
    )
    assert "Not promoted" in done.stdout
    assert "champion already" in done.stdout
    assert steps_cached(project("--pipeline", "train").stdout) == (steps, steps)


def test_what_no_model_comes_from_trains_and_registers_nothing(project: Project) -> None:
    params, words = (
        project.folder / "params.yaml",
        project.folder / "accidents" / "vocabulary" / "words_fr.yaml",
    )
    template = project.folder / "accidents" / "reports" / "templates" / "model_card.md"
    before = {path: path.read_text(encoding="utf-8") for path in (params, words, template)}
    params.write_text(before[params].replace("clear_after: 2", "clear_after: 3"), encoding="utf-8")
    words.write_text(before[words] + "# A comment.\n", encoding="utf-8")
    template.write_text("{# A comment. #}\n" + before[template], encoding="utf-8")
    done = project("--pipeline", "train")
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")
    ran = set(re.findall(r"^  (\w+(?: \w+)*) \.\.\.$", done.stderr, re.M))
    assert ran == {"draw reports", "register model", "summarise"}, "what shows the card, and what looks it up"
    assert "this is version 1, nothing was registered" in re.sub(r"\s+", " ", done.stdout)


def test_training_again_gives_the_same_bundle_byte_for_byte(project: Project) -> None:
    done = project("--pipeline", "train", "--no-cache")
    assert steps_cached(done.stdout)[0] == 0
    assert "nothing was registered" in re.sub(r"\s+", " ", done.stdout)
    assert summary(project)["model_version"] == "1", "the same inputs are not registered twice"
    bundles = {path.read_bytes() for path in (project.folder / ".zenml").glob(BUNDLES)}
    assert len(bundles) == 1


def test_other_data_is_another_version_and_the_old_hash_gives_the_old_metrics(project: Project) -> None:
    before = summary(project)
    params = project.folder / "params.yaml"
    usual = params.read_text()
    params.write_text(usual.replace("    seed: 7", "    seed: 8"))
    project("--pipeline", "train")
    after = summary(project)
    assert after["data_version"] != before["data_version"]
    assert after["model_version"] == "2"
    project("--pipeline", "train", "--data-version", before["data_version"])
    again = summary(project)
    params.write_text(usual)
    assert again["evaluations"] == before["evaluations"]
    assert again["synthetic"] is True


def test_promote_and_rollback_move_both_registries(project: Project) -> None:
    champion = (
        MLFLOW
        + """
from steps.support import mirror, registry
now = registry.champion(name)
print(now.number, mirror.registry_version(now), client.get_model_version_by_alias(name, "champion").version)
"""
    )
    project("promote", "2")
    assert project.python(champion).split()[-3:] == ["2", "2", "2"]
    project("promote", "1")
    assert "version 2 is champion again" in project("rollback").stdout
    assert project.python(champion).split()[-3:] == ["2", "2", "2"]
    wrong = project("promote", "99", check=False)
    assert wrong.returncode == 1
    assert "has no version '99'" in wrong.stderr


def test_an_alias_moved_by_hand_is_put_back(project: Project) -> None:
    project.python(MLFLOW + 'client.set_registered_model_alias(name, "champion", "1")')
    project("--pipeline", "train")
    alias = MLFLOW + 'print(client.get_model_version_by_alias(name, "champion").version)'
    assert project.python(alias).split()[-1] == "2"


def test_on_a_bare_stack_it_runs_and_says_what_it_left_out(project: Project) -> None:
    done = project("--pipeline", "train", "--stack", "bare", "--stage", "on_scene")
    assert "Promoted" in done.stdout
    for part in ("experiment tracker", "model registry", "data validator"):
        assert part in done.stdout
    assert summary(project)["name"] == "accident-severity-on-scene"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--stack", "lokal"], "Did you mean 'local'"),
        (["--years", "1999", "--source", "data.gouv"], "1999"),
        (["--source", "sampel"], "sample"),
        (["--test-year", "2030"], "nearest: 2022"),
        (["--years", "x"], "--years 'x' is not a list of years"),
        (["--params", "nowhere.yaml"], "does not exist"),
        (["--config", "params.yaml"], "unknown key"),
        (["--data-version", "0" * 32 + ".dir"], "neither in DVC's cache"),
    ],
)
def test_a_wrong_setting_stops_before_anything_runs(project: Project, words: list[str], told: str) -> None:
    done = project("--pipeline", "train", *words, check=False)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "Initiating" not in done.stdout


@pytest.mark.realdata
def test_real_2018_trains_and_is_promoted_over_a_synthetic_champion(project: Project, baac: Path) -> None:
    project("promote", "1")
    done = project("--pipeline", "train", "--source", str(baac), "--years", "2018")
    found = summary(project)
    assert found["synthetic"] is False
    assert found["decision"]["promote"], found["decision"]["reason"]
    assert found["evaluations"]["model"]["metrics"]["roc_auc"]["value"] > 0.8
    assert "situ" not in done.stderr
    quality = (project.folder / "reports" / "quality_report.csv").read_text()
    assert re.search(r"2018,places,position,.*blanked", quality), (
        "2018's situ is unusable: blanked by rule, and counted"
    )
    back = project("--pipeline", "train")
    assert "it learnt from real accidents" in re.sub(r"\s+", " ", back.stdout)


@pytest.mark.realdata
def test_a_year_without_labels_beside_one_with_them_is_left_out_and_said(
    project: Project, baac: Path
) -> None:
    done = project("--pipeline", "train", "--source", str(baac), "--years", "2013,2018")
    assert "58,397 rows without a label left out" in re.sub(r"\s+", " ", done.stdout)


@pytest.mark.realdata
def test_an_error_in_a_step_is_told_plainly(project: Project, baac: Path) -> None:
    done = project("--pipeline", "train", "--source", str(baac), "--years", "2013", check=False)
    assert done.returncode == 1
    assert "Error: no accident has both a label and a date" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.realdata
def test_a_year_that_the_folder_lacks_is_told(project: Project, baac: Path) -> None:
    done = project("--pipeline", "train", "--source", str(baac), "--years", "2017", check=False)
    assert done.returncode == 1
    assert "2018" in done.stderr
