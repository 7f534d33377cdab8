"""The train pipeline as people run it, on one project: each test asks for the trainings it needs."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipelines.conftest import Project

pytestmark = pytest.mark.slow

PICTURES = ("roc_and_pr", "calibration", "lift", "slices", "map", "importance", "shap_summary")
PAGES = ("model_card", "quality_report", "data_quality", "data_drift")
MLFLOW = """
from zenml.client import Client
Client().activate_stack("local")  # a test before may have used another
tracker = Client().active_stack.experiment_tracker
tracker.configure_mlflow()
from mlflow import MlflowClient
client = MlflowClient()
name = "accident-severity-dispatch"
"""


BUNDLES = "artifacts/build_bundle/bundle/*/*/files/manifest.json"


@dataclass(frozen=True)
class Training:
    """A training that is over: what it printed, and a copy of its reports."""

    printed: str
    errors: str
    reports: Path

    @property
    def summary(self) -> dict:
        return json.loads((self.reports / "summary.json").read_text())

    @property
    def version(self) -> str:
        return self.summary["model_version"]


def train(project: Project, *words: str, cold: bool = False) -> Training:
    """Train; the reports stay as they are now, whatever is trained after."""
    done = project("--pipeline", "train", *words, cold=cold)
    beside = project.folder.parent
    kept = beside / f"reports-{len(list(beside.glob('reports-*')))}"
    shutil.copytree(project.folder / "reports", kept)
    return Training(done.stdout, done.stderr, kept)


@pytest.fixture(scope="module")
def first(project: Project) -> Training:
    """The training of version 1 in a clean copy, started as a person starts it who has no home folder."""
    usual = project.environment
    project.environment = usual | {"HOME": "/proc/nobody"}  # where nobody, root included, can make one
    try:
        return train(project, cold=True)
    finally:
        project.environment = usual


@pytest.fixture(scope="module")
def second(project: Project, first: Training) -> Training:
    """The training of a later version, on other data."""
    params = project.folder / "params.yaml"
    usual = params.read_text()
    params.write_text(usual.replace("    seed: 7", "    seed: 8"))
    try:
        return train(project)
    finally:
        params.write_text(usual)


def steps_cached(output: str) -> tuple[int, int]:
    cached, steps = re.search(r"(\d+) of (\d+) steps cached", output).groups()
    return int(cached), int(steps)


def settle(project: Project) -> None:
    """Train until all but the promotion is known: who is champion may have changed what is to be judged."""
    for _ in range(2):
        cached, steps = steps_cached(project("--pipeline", "train").stdout)
        if cached == steps - 1:
            return
    pytest.fail("a training of what was trained is not cached")


def test_the_first_run_trains_registers_promotes_and_reports(first: Training) -> None:
    assert "Promoted" in first.printed
    assert "synthetic sample" in first.printed
    for row in ("model", "prevalence", "logistic regression", "random forest"):
        assert re.search(rf"^\W*{row}\W", first.printed, re.M), row
    assert "Traceback" not in first.printed + first.errors
    for name in PICTURES:
        assert (first.reports / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    for name in PAGES:
        assert "<html" in (first.reports / f"{name}.html").read_text().lower(), name
        assert f'href="{name}.html"' in (first.reports / "index.html").read_text(), name
    assert first.summary["champion_version"] == "1"


def test_the_tracked_run_and_the_version_carry_data_code_and_params(
    project: Project, first: Training
) -> None:
    printed = project.python(
        MLFLOW
        + """
import json
version = client.get_model_version(name, "1")
run = client.get_run(version.run_id)
files = [f.path for f in client.list_artifacts(run.info.run_id, "reports")]
data = run.data
tracked = {"version": version.tags, "tags": data.tags, "files": files}
tracked |= {"params": data.params, "metrics": data.metrics}
print(json.dumps(tracked))
"""
    )
    tracked = json.loads(printed.strip().splitlines()[-1])
    version = first.summary["data_version"]
    assert re.fullmatch(r"[0-9a-f]{32}\.dir", version)
    for tags in (tracked["version"], tracked["tags"]):
        assert tags["data_version"] == version
        assert tags["git_commit"] == "unknown" or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", tags["git_commit"])
        assert tags["image"] == "no image"
    assert tracked["params"]["data.sample.accidents_per_year"] == "4000"
    assert tracked["metrics"]["roc_auc"] == pytest.approx(
        first.summary["evaluations"]["model"]["metrics"]["roc_auc"]["value"]
    )
    assert {"reports/roc_and_pr.png", "reports/data_drift.html"} <= set(tracked["files"])


@pytest.mark.usefixtures("first")
def test_the_registered_model_gives_the_bundles_probabilities(project: Project) -> None:
    printed = project.python(
        MLFLOW
        + """
import mlflow, numpy as np
from steps.support import champion_and_versions
bundle = champion_and_versions.bundle_of(champion_and_versions.champion(name))
import pandas as pd
rows = pd.read_parquet(bundle.folder / "reference.parquet")[bundle.features]
loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
print(np.abs(loaded.predict(rows.astype(float)) - bundle.predict(rows.to_numpy("float32"))).max())
"""
    )
    assert float(printed.strip().splitlines()[-1]) < 1e-9


@pytest.mark.usefixtures("first")
def test_the_dashboard_has_the_pictures(project: Project) -> None:
    printed = project.python("""
from zenml.client import Client
first = Client().get_model_version("accident-severity-dispatch", 1).get_artifact("bundle")
run = Client().get_pipeline_run(first.producer_pipeline_run_id)
outputs = {"draw_reports": "reports", "validate_data": "data_reports",
           "report_quality": "quality_report", "summarise": "summary"}
for step, output in outputs.items():
    for page in run.steps[step].outputs[output][0].visualizations:
        print(page.type, page.uri.rsplit("/", 1)[-1])
""")
    for name in PICTURES:
        assert f"image {name}.png" in printed
    for name in PAGES:
        assert f"html {name}.html" in printed


@pytest.mark.usefixtures("first")
def test_a_second_run_is_cached_and_keeps_the_champion(project: Project) -> None:
    make_champion(project, "1")
    done = project("--pipeline", "train")
    cached, steps = steps_cached(done.stdout)
    assert cached >= steps - 3, (
        "only judging, promoting and the summary may run again: there is a champion now"
    )
    assert "Not promoted" in done.stdout
    assert "champion already" in done.stdout


@pytest.mark.usefixtures("first")
def test_what_no_model_comes_from_trains_and_registers_nothing(project: Project) -> None:
    settle(project)
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
    assert ran == {"draw reports", "register model", "promote model", "summarise"}, (
        "what shows the card, what looks the version up, and who is champion"
    )
    assert "this is version 1, nothing was registered" in re.sub(r"\s+", " ", done.stdout)


def manifests(project: Project) -> set[bytes]:
    """Of all bundles that were ever made here: each names its files by what is in them."""
    return {path.read_bytes() for path in (project.folder / ".zenml").glob(BUNDLES)}


def test_other_data_is_another_version_and_the_old_hash_gives_the_old_bundle_byte_for_byte(
    project: Project, first: Training, second: Training
) -> None:
    assert second.summary["data_version"] != first.summary["data_version"]
    assert int(second.version) > int(first.version) == 1
    before = manifests(project)
    again = train(project, "--no-cache", "--data-version", first.summary["data_version"])
    assert steps_cached(again.printed)[0] == 0
    assert "nothing was registered" in re.sub(r"\s+", " ", again.printed)
    assert again.summary["model_version"] == "1", "the same inputs are not registered twice"
    assert manifests(project) == before
    assert again.summary["evaluations"] == first.summary["evaluations"]
    assert again.summary["synthetic"] is True


CHAMPION = (
    MLFLOW
    + """
from steps.support import registry_mirror, champion_and_versions
now = champion_and_versions.champion(name)
alias = client.get_model_version_by_alias(name, "champion")
print(now.number, registry_mirror.registry_version(now), alias.version)
"""
)


def make_champion(project: Project, version: str) -> None:
    """Promote a version, unless it is champion."""
    if champion(project)[0] != version:
        project("promote", version)


def champion(project: Project) -> list[str]:
    """As ZenML has it, its number in the registry, and as the registry has it."""
    return project.python(CHAMPION).split()[-3:]


def test_promote_and_rollback_move_both_registries(project: Project, second: Training) -> None:
    project("promote", second.version)
    assert champion(project) == [second.version] * 3
    project("promote", "1")
    assert f"version {second.version} is champion again" in project("rollback").stdout
    assert champion(project) == [second.version] * 3
    wrong = project("promote", "99", check=False)
    assert wrong.returncode == 1
    assert "has no version '99'" in wrong.stderr


def test_an_alias_moved_by_hand_is_put_back(project: Project, second: Training) -> None:
    make_champion(project, second.version)
    project.python(MLFLOW + 'client.set_registered_model_alias(name, "champion", "1")')
    project("--pipeline", "train")
    assert champion(project) == [second.version] * 3


def test_on_a_bare_stack_it_runs_and_says_what_it_left_out(project: Project) -> None:
    bare = train(project, "--stack", "bare", "--stage", "on_scene")
    assert "Promoted" in bare.printed
    for part in ("experiment tracker", "model registry", "data validator"):
        assert part in bare.printed
    assert bare.summary["name"] == "accident-severity-on-scene"


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
@pytest.mark.usefixtures("first")
def test_real_2018_trains_and_is_promoted_over_a_synthetic_champion(project: Project, baac: Path) -> None:
    make_champion(project, "1")
    real = train(project, "--source", str(baac), "--years", "2018")
    judged = real.summary
    assert judged["synthetic"] is False
    assert judged["decision"]["promote"], judged["decision"]["reason"]
    assert judged["evaluations"]["model"]["metrics"]["roc_auc"]["value"] > 0.8
    assert "situ" not in real.errors
    quality = (real.reports / "quality_report.csv").read_text()
    assert re.search(r"2018,places,position,.*blanked", quality), (
        "2018's situ is unusable: blanked by rule, and counted"
    )
    back = project("--pipeline", "train")
    assert "it learnt from real accidents" in re.sub(r"\s+", " ", back.stdout)


@pytest.mark.realdata
@pytest.mark.usefixtures("first")
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
