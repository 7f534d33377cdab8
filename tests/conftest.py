"""What tests of every room share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.leftovers import nothing_is_left  # noqa: F401 - a fixture for every test

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as stacks/environment.py sets it, before LightGBM loads
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # the same, before gcsfs is imported

# Also not one that the shell names: no test asks a server on which a team works.
for _name in [name for name in os.environ if name.startswith("ZENML_STORE_")]:
    del os.environ[_name]

# What tests send must arrive, also under `nohup make test &`, which hands down that some signals are ignored.
for _told, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGTERM, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_told) is signal.SIG_IGN:
        signal.signal(_told, _usual)

ROOT = Path(__file__).resolve().parent.parent
BAAC = ROOT.parent / "shared" / "baac"


@pytest.hookimpl(trylast=True)  # when every room has said what is slow
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first, so that both processes end together; skip what needs files that are not here."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    if BAAC.is_dir():
        return
    for item in items:
        if item.get_closest_marker("realdata"):
            item.add_marker(pytest.mark.skip(reason="the real files (../shared/baac) are not here"))


@pytest.fixture(scope="session")
def baac() -> Path:
    """The folder of real files; only for tests marked `realdata`."""
    return BAAC
