"""Which project's API this is, so that nobody takes another one on the same address for it."""

from __future__ import annotations

import hashlib

from accidents.files import ROOT
from accidents.predictions.store import PredictionStore
from serving.api.settings import ApiSettings


def identity_of(settings: ApiSettings) -> str:
    """Of the project's folder and its prediction log; tells neither."""
    place = PredictionStore(settings.database_url).place  # without its password
    return hashlib.sha256(f"{ROOT}\n{place}".encode()).hexdigest()[:16]
