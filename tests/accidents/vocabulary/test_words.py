"""Words: nothing is missing in either language, and nothing is there twice or in vain."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
import yaml

from accidents.bundle.questions import TOGETHER
from accidents.errors import SettingsError
from accidents.features import FEATURES
from accidents.features.phrases import CODED
from accidents.scoring.next_question import asking
from accidents.vocabulary import codes
from accidents.vocabulary.words import LANGUAGES, label, word, words

both = pytest.mark.parametrize("language", LANGUAGES)
NAMES = {feature.name for feature in FEATURES}
QUESTIONS = {*TOGETHER, *(NAMES - {member for members in TOGETHER.values() for member in members})}
FORM = {
    "time",
    "category",
    "fixed_obstacle",
    "moving_obstacle",
    "impact",
    "role",
    "seat",
    "sex",
    "birth_year",
}
KEPT_BACK = {"severity"}  # the outcome: no word of it is ever needed


def document(language: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(
        (files("accidents.vocabulary") / f"words_{language}.yaml").read_text("utf-8")
    )
    return content


@both
def test_every_feature_and_form_field_has_a_label(language: str):
    assert set(words(language)["labels"]) == NAMES | FORM
    assert all(text.strip() for text in words(language)["labels"].values())


@both
def test_every_code_of_a_category_has_a_word(language: str):
    for feature in FEATURES:
        for code in feature.codes:
            if f"{code}" in words("en")["codes"][CODED[feature.name]]:
                assert word(CODED[feature.name], code, language), (feature.name, code)
    lacking = {f.name for f in FEATURES if f.codes and CODED[f.name] not in words(language)["codes"]}
    assert not lacking


def test_french_has_a_word_for_every_published_code_that_a_feature_comes_from():
    read = {source for feature in FEATURES for source in feature.compute.sources}
    coded = [column for column in codes.columns() if (column.table, column.name) in read and column.codes]
    assert {"light", "category", "fixed_obstacle", "role", "seat"} <= {column.name for column in coded}
    for column in coded:
        if column.name not in KEPT_BACK:
            assert list(words("fr")["codes"][str(column.name)]) == list(column.codes), column.name


@both
def test_a_word_leads_back_to_one_code(language: str):
    for column, known in words(language)["codes"].items():
        lower = [text.lower() for text in known.values()]
        assert len(set(lower)) == len(lower), column


def test_french_words_are_in_lower_case_and_not_english():
    for column, known in words("fr")["codes"].items():
        if column != "department":
            assert all(text[0].islower() for text in known.values()), column
    same = {
        text
        for column, known in words("fr")["codes"].items()
        for code, text in known.items()
        if column != "department" and text == words("en")["codes"][column][code]
    }
    assert same == {"parapet", "train"}  # the same word in both languages


def test_both_files_have_the_same_keys_and_none_in_vain():
    english, french = document("en"), document("fr")
    assert english["sentences"].keys() == french["sentences"].keys()
    assert english["phrases"].keys() == french["phrases"].keys()
    assert english["phrases"].keys() <= NAMES
    assert english["codes"].keys() <= french["codes"].keys()
    assert english["labels"].keys() <= french["labels"].keys()
    assert set(english["questions"]) == set(french["questions"]) == QUESTIONS


@both
def test_a_feature_without_codes_has_a_phrase_of_its_own(language: str):
    without = NAMES - CODED.keys() - document(language)["phrases"].keys()
    assert without == {"latitude", "longitude", "lightest", "heaviest"}  # said together, as groups


@both
def test_forms_of_phrases_are_ones_that_can_be_chosen(language: str):
    for feature, forms in document(language)["phrases"].items():
        if isinstance(forms, dict):
            published = set(words(language)["codes"][CODED[feature]]) if feature in CODED else set()
            chosen = published | {"any"} if published else {"none", "one", "many"}
            assert forms.keys() <= chosen, feature
            assert not published or "any" in forms or published <= forms.keys(), feature


def test_what_to_ask_is_a_sentence_of_its_own():
    assert asking("speed_limit", 0.0712) == (
        "asking for the speed limit would help most: on average it moves the probability by 7 points"
    )
    assert asking("place", 0.02, "fr") == (
        "demander le lieu aiderait le plus\u00a0: la probabilité bougerait en moyenne de 2 points"
    )


@both
def test_all_words_are_ready_for_json(language: str):
    said = words(language)
    assert json.loads(json.dumps(said)) == said
    assert said["retired"] == {"category": ["4", "5", "6", "8", "9", "11", "12", "18", "19"], "role": ["4"]}
    said["codes"]["light"].clear()
    assert words(language)["codes"]["light"], "a caller's change is its own"


def test_another_language_is_refused_by_name():
    with pytest.raises(SettingsError, match=r"'de'.*en, fr"):
        words("de")


def test_what_has_no_label_goes_by_its_name():
    assert label("something_new") == "something_new"
