"""A ZenML store of the tests' own, in a temporary folder: one a module, because making one takes seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import tests.unflushed  # noqa: F401 - for every store of this process

ROOT = Path(__file__).resolve().parent.parent


def isolated_environment(store: Path, root: Path = ROOT) -> dict[str, str]:
    """The environment for a child process that keeps to the store in this folder, whatever ours is."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("ZENML_", "MLFLOW_"))
    }
    return inherited | {"ZENML_CONFIG_PATH": str(store), "PYTHONPATH": str(root)}


@pytest.fixture(scope="module")
def zenml_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an empty store that `zenml.client.Client()` of this process uses while the module runs.

    Works whether or not zenml was imported before.
    """
    folder = tmp_path_factory.mktemp("zenml")
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("ZENML_", "MLFLOW_"))]:
        del os.environ[name]
    os.environ["ZENML_CONFIG_PATH"] = str(folder)
    os.environ["ZENML_CUSTOM_SOURCE_ROOT"] = str(ROOT)
    from stacks.environment import prepare_environment

    prepare_environment(ROOT)
    _forget_store()
    yield folder
    os.environ.clear()
    os.environ.update(before)
    _forget_store()


def _forget_store() -> None:
    """Have ZenML read its environment anew: it keeps its client, its configuration and its source root."""
    from zenml.client import Client
    from zenml.config.global_config import GlobalConfiguration
    from zenml.utils import source_utils

    GlobalConfiguration._reset_instance()
    Client._reset_instance()
    source_utils.set_custom_source_root(os.environ.get("ZENML_CUSTOM_SOURCE_ROOT"))
