"""What to ask a caller next: the best of a bundle's questions, and how it is put.

Apart from them (accidents/bundle/questions.py), so that the API need not import bundles.
"""

from __future__ import annotations

from collections.abc import Sequence

from accidents.vocabulary.words import question, sentence

_WORTH = 0.015  # mean change of P(severe) below which nobody need ask


def best(names: Sequence[str], changes: Sequence[float]) -> tuple[str, float] | None:
    """Return the question that would change P(severe) most, and by how much; None if none is worth asking."""
    name, change = max(zip(names, changes, strict=True), key=lambda pair: pair[1], default=("", 0.0))
    return (name, change) if change >= _WORTH else None


def asking(name: str, change: float, language: str = "en") -> str:
    """Return the sentence for a question and its value."""
    return sentence("ask", language, question=question(name, language), points=f"{100 * change:.0f}")
