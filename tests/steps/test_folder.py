"""The artifact that is a folder."""

from zenml.utils.source_utils import resolve

from steps.folder import Folder, FolderMaterializer


def test_its_name_is_the_one_that_every_store_holds() -> None:
    """Another one, and the champions of earlier versions cannot be read any more."""
    assert [resolve(one).import_path for one in (Folder, FolderMaterializer)] == [
        "steps.folder.Folder",
        "steps.folder.FolderMaterializer",
    ]
