"""Each overlay in turn."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.manifests.documents import OVERLAYS, kustomize


@pytest.fixture(scope="module", params=OVERLAYS)
def documents(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    text = kustomize(request.param)
    assert text == kustomize(request.param)  # a diff of it is part of a pull request
    return list(yaml.safe_load_all(text))
