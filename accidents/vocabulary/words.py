"""What the product says in English and in French: labels, words of codes, phrases.

Published codes have their English words in codes.yaml; everything else is in words_en.yaml and words_fr.yaml.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from accidents.errors import SettingsError
from accidents.vocabulary import codes

FILES = {"en": "words_en.yaml", "fr": "words_fr.yaml"}
LANGUAGES = tuple(FILES)


def label(name: str, language: str = "en") -> str:
    """Return what a feature, a column or a group of features is called; its own name if it has no label."""
    return _labels(language).get(name, name)


def word(column: str, code: float | str, language: str = "en") -> str | None:
    """Return the word of a code (3.0 or "3") of a column; None if it has none."""
    return _codes(language).get(column, {}).get(text_of(code))


def sentence(name: str, language: str = "en", **gaps: str) -> str:
    """One of the `sentences`, its gaps filled in."""
    return str(_document(language)["sentences"][name]).format(**gaps)


def question(name: str, language: str = "en") -> str:
    """How something that is not known is asked for: "the speed limit"."""
    return str(_document(language)["questions"][name])


def words(language: str = "en") -> dict[str, Any]:
    """All that a form or a page needs to speak a language; ready for JSON.

    `labels`: name -> text, for features and form fields. `codes`: column -> code -> word.
    `retired`: column -> codes that are still read but that a form should no longer offer.
    Raises SettingsError for an unknown language.
    """
    return {
        "language": language,
        "labels": dict(_labels(language)),
        "codes": {column: dict(known) for column, known in _codes(language).items() if column != "mass"},
        "retired": _retired(),
    }


def wording(feature: str, language: str = "en") -> str | dict[str, str] | None:
    """Return the phrase of a feature, its gaps not filled in, or one for each form; None if it has none."""
    phrase: str | dict[str, str] | None = _document(language)["phrases"].get(feature)
    return phrase


def text_of(number: float | str) -> str:
    """Return a number or a code as it is written: 3.0 as "3"."""
    return number if isinstance(number, str) else f"{number:g}"


@lru_cache
def _document(language: str) -> dict[str, Any]:
    if language not in LANGUAGES:
        raise SettingsError(f"Unknown language {language!r}: choose one of {', '.join(LANGUAGES)}.")
    text = files("accidents.vocabulary").joinpath(FILES[language]).read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


@lru_cache
def _labels(language: str) -> dict[str, str]:
    own, all_names = _document(language)["labels"], _document("fr")["labels"]
    return {name: own[name] if name in own else codes.column(name).label for name in all_names}


@lru_cache
def _codes(language: str) -> dict[str, dict[str, str]]:
    own, all_names = _document(language)["codes"], _document("fr")["codes"]
    return {name: own[name] if name in own else dict(codes.column(name).codes) for name in all_names}


def _retired() -> dict[str, list[str]]:
    names = _document("fr")["codes"].keys() - _document("en")["codes"].keys()
    columns = [codes.column(name) for name in sorted(names)]
    return {
        str(c.name): [code for code in c.codes if code in c.codes_until] for c in columns if c.codes_until
    }
