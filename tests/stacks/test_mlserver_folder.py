"""The model server's copy of the code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stacks.components.mlserver.folder import ServerFolder

COMPILED = """
from numba import njit

@njit(cache=True)
def double(x):
    return 2 * x
"""
HITS = "from accidents.walk import double; double(1); print(sum(double.stats.cache_hits.values()))"


def cache_hits(code: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", HITS], cwd=code, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_what_a_training_has_compiled_its_server_need_not(tmp_path: Path) -> None:
    source = tmp_path / "project"
    for room in ("accidents", "serving"):
        (source / room).mkdir(parents=True)
        (source / room / "__init__.py").touch()
    (source / "accidents" / "walk.py").write_text(COMPILED)
    before = ServerFolder(tmp_path / "before").copy_code(source)
    assert cache_hits(source) == "0"
    server = ServerFolder(tmp_path / "server")
    code = server.copy_code(source)
    assert code == before, "the same code, compiled or not"
    assert cache_hits(server.root / "code" / code) == "1"
