"""What a step runs through: nothing that it does not, and nothing of that is overlooked."""

import shutil
from pathlib import Path

import pytest

from accidents.bundle.provenance import APART
from accidents.files import ROOT
from accidents.source_code import _read, _tables, code_version, files_of
from pipelines.identity import MAKE_A_BUNDLE


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the sources that may be changed."""
    for room in ("accidents", "steps"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def training(project: Path) -> str:
    _read.cache_clear()
    _tables.cache_clear()
    return code_version(*MAKE_A_BUNDLE, but=APART, root=project)


def change(project: Path, file: str, old: str, new: str) -> None:
    text = (project / file).read_text(encoding="utf-8")
    assert old in text, f"{file} no longer says {old!r}"
    (project / file).write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("accidents/vocabulary/words_fr.yaml", "labels:", "# Changed.\nlabels:"),
        ("accidents/vocabulary/codes.yaml", "tables:", "# Even here.\n\ntables:"),
        ("accidents/vocabulary/codes.yaml", "range: [1, 31]", "range:\n        - 1\n        - 31"),
        ("accidents/reports/templates/model_card.md", "#", "##"),
        ("accidents/reports/card.py", '"""Return the card in Markdown.', '"""Another card.'),
        (
            "accidents/monitoring/monitor_settings.py",
            "clear_after: int = Field(default=2",
            "clear_after: int = Field(default=3",
        ),
        ("accidents/data/sources/datagouv_download.py", "sources.json", "sources-2.json"),
        (
            "accidents/training/trained_model.py",
            '"""P(severe) from the features of a stage.',
            '"""Another word.',
        ),
        ("accidents/training/trained_model.py", "from __future__", "# A comment.\nfrom __future__"),
        ("accidents/promotion/champion_decision.py", "tie_margin: float", "tied_margin: float"),
        ("steps/support/champion_and_versions.py", "Never finished", "Not finished"),
    ],
)
def test_what_no_model_comes_from_changes_no_version(project: Path, file: str, old: str, new: str) -> None:
    before = training(project)
    change(project, file, old, new)
    assert training(project) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("accidents/training/model_settings.py", "default=300", "default=301"),
        ("accidents/training/place_encoder.py", "def cross_fit(", "def cross_fit_(x): ...\ndef cross_fit("),
        ("accidents/vocabulary/codes.yaml", "first: 2018, last: 2018", "first: 2018, last: 2019"),
        ("accidents/features/features_by_stage.py", "rises=1", "rises=-1"),
        ("accidents/training/split.py", "LABEL_BREAK = 2018", "LABEL_BREAK = 2019"),
        ("steps/training/build_bundle.py", '"stage": deployed.stage', '"stage": str(deployed.stage)'),
    ],
)
def test_what_a_model_comes_from_is_another_version(project: Path, file: str, old: str, new: str) -> None:
    before = training(project)
    change(project, file, old, new)
    assert training(project) != before


def test_a_step_depends_on_what_it_runs_through_only() -> None:
    train = {path.relative_to(ROOT).as_posix() for path in files_of("steps.training.train_model", but=APART)}
    assert {
        "accidents/training/fit_bags.py",
        "accidents/training/trained_model.py",
        "accidents/training/place_encoder.py",
        "accidents/training/calibration.py",
    } <= train
    apart = {"accidents/vocabulary/codes.yaml", "accidents/params.py", "accidents/promotion/gates.py"}
    assert not apart & train
    assert "engine/cluster.py" in train
    assert not {"accidents/__about__.py", "engine/kubernetes_cluster.py"} & train, (
        "or each release is another model"
    )
    read = {path.relative_to(ROOT).as_posix() for path in files_of("steps.data.load_data", but=APART)}
    assert {"accidents/vocabulary/codes.yaml", "accidents/data/reading/years.py"} <= read
    assert "accidents/training/fit_bags.py" not in read


def test_every_table_beside_the_code_is_read_by_a_module() -> None:
    files = (path for path in (ROOT / "accidents").rglob("*.*") if "__pycache__" not in path.parts)
    every = {path for path in files if path.suffix != ".py"}
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "accidents").rglob("*.py")
    ]
    assert every - set(files_of(*modules)) == set()


def test_imports_on_use_are_followed_and_those_of_a_type_checker_are_not(tmp_path: Path) -> None:
    package = tmp_path / "accidents"
    (package / "inner").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "inner/__init__.py": "",
        "one.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from accidents.typed import T\n"
        "def f():\n    from accidents.inner import late\n",
        "typed.py": "T = 1",
        "inner/late.py": "import accidents.far",
        "far.py": 'TABLE = "far.csv"',
        "far.csv": "1",
        "other.csv": "2",
    }.items():
        (package / name).write_text(text)
    found = {path.relative_to(package).as_posix() for path in files_of("accidents.one", root=tmp_path)}
    assert found == {"__init__.py", "one.py", "inner/__init__.py", "inner/late.py", "far.py", "far.csv"}
