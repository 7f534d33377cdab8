"""The bundle that answers, whatever model server it is in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from accidents.errors import BundleError
from serving.runtime.predictor import Predictor
from tests.model_servers import Version, forge


def test_a_bundle_that_is_whole_and_not_the_one_that_was_deployed_is_refused(
    version: Version, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(version.bundle.folder, tmp_path / "bundle"))
    Predictor(folder, version.bundle.digest).close()
    forge(folder)
    with pytest.raises(BundleError, match="not the bundle that was registered"):
        Predictor(folder, version.bundle.digest)
