"""The artifact that is a folder."""

import pytest
from zenml.utils import source_utils
from zenml.utils.source_utils import resolve

from steps.folder import Folder, FolderMaterializer
from tests.conftest import ROOT


def test_its_name_is_the_one_that_every_store_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one, and the champions of earlier versions cannot be read any more."""
    monkeypatch.setattr(source_utils, "_CUSTOM_SOURCE_ROOT", str(ROOT))
    assert [resolve(one).import_path for one in (Folder, FolderMaterializer)] == [
        "steps.folder.Folder",
        "steps.folder.FolderMaterializer",
    ]


def test_a_temporary_one_goes_with_the_object_that_a_step_returned() -> None:
    made = Folder.temporary("test-")
    place = made.path
    (made / "file.txt").write_text("kept by ZenML, not here")
    assert place.is_dir()
    del made
    assert not place.exists()
