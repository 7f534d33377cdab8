"""The same inputs are the same version, and nothing else is."""

import pytest

from accidents.bundle.provenance import MadeFrom
from accidents.config import parse
from accidents.params import NOT_OF_TRAINING, Params


def identity(raw: str = "a.dir", code: str = "1", **params: object) -> str:
    read = parse(Params, params, "params")
    made = MadeFrom(data_version=raw, years=read.data.years, code_version=code, params=read.of_training())
    return made.identity


@pytest.mark.parametrize(
    "params",
    [
        {"monitor": {"clear_after": 3}},
        {"keep": {"reports": 3}},
        {"promotion": {"metric": "roc_auc"}},
        {"data": {"source": "elsewhere", "refresh": True}},
        {"model": {"n_jobs": 1}},  # as many trees, and the same: test_tree_inputs
    ],
)
def test_what_decides_about_a_model_does_not_make_it(params: dict[str, object]) -> None:
    assert identity(**params) == identity()


@pytest.mark.parametrize(
    "params",
    [
        {"seed": 8},
        {"stage": "on_scene"},
        {"model": {"n_estimators": 5}},
        {"split": {"calibration_share": 0.2}},
        {"tuning": {"trials": 1}},
        {"evaluation": {"budget": 0.3}},
        {"refit": False},
        {"gates": [{"metric": "roc_auc", "min": 0.1}]},  # what passes them is fitted again
        {"data": {"years": [2022]}},  # of the same manifest, or the same archive
    ],
)
def test_what_a_model_depends_on_makes_another(params: dict[str, object]) -> None:
    assert identity(**params) != identity()


def test_other_data_or_code_makes_another() -> None:
    assert len({identity(), identity(raw="b.dir"), identity(code="2")}) == 3


def test_a_new_section_of_the_parameters_makes_versions_until_it_is_said_not_to() -> None:
    """One that is in neither list: decide, and write it into accidents/params.py if it makes none."""
    makes = {"stage", "seed", "split", "model", "tuning", "evaluation", "refit", "gates"}
    assert set(Params.model_fields) == makes | NOT_OF_TRAINING
