"""What a feature of some value says, in English or French: "speed limit 80 km/h"."""

from __future__ import annotations

from functools import lru_cache

from accidents.features.features_by_stage import FEATURES
from accidents.vocabulary.words import label, sentence, text_of, word, wording

# Where the words of a category's codes are: feature -> column.
CODED = {f.name: str(getattr(f.compute, "column", f.name)) for f in FEATURES if f.kind == "category"}


@lru_cache(maxsize=4096)
def phrase(feature: str, value: float, language: str = "en") -> str:
    """Return what a feature of this value says; `value` is a number or a code."""
    called, pattern = label(feature, language), _pattern(feature, value, language)
    known_as = word(CODED[feature], value, language) if feature in CODED else None
    gaps = {"label": called, "n": text_of(value), "next": text_of(value + 1), "word": known_as or ""}
    if feature in CODED and known_as is None:
        pattern = None  # no such code: its number is all that can be said
    return pattern.format(**gaps) if pattern else sentence("coded" if known_as else "plain", language, **gaps)


def _pattern(feature: str, value: float, language: str) -> str | None:
    """Return the wording for a value, its gaps not filled in; None where there is none of its own."""
    forms = wording(feature, language)
    if not isinstance(forms, dict):
        return forms
    if feature in CODED:
        return forms.get(text_of(value), forms.get("any"))
    kind = "none" if value == 0 else "one" if value == 1 else "many"
    return forms.get(kind, forms.get("many"))
