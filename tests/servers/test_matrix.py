"""Every stack of one machine, with real parts: the same commands, the same model, the same predictions.

`staging` is compared in test_staging.py, `docker` in tests/containers/test_docker_stack.py, `airflow` in
tests/dags/test_stack.py. With WRITE_MATRIX
all of them write their rows into the table of docs/stacks.md, which says how.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import kill_all_of
from tests.servers.conftest import tiny_project
from tests.servers.matrix import found_on, found_on_bare


@pytest.mark.matrix
@pytest.mark.parametrize("stack", ["local", "local-bento", "local-seldon", "local-mlflow"])
def test_the_same_commands_give_the_same_model_as_on_stack_bare(
    stack: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = tiny_project(tmp_path / "a project")
    try:
        found = found_on(stack, project)
    finally:
        kill_all_of(project.folder)
    found.assert_same_as(found_on_bare(tmp_path_factory))
