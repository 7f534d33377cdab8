"""What the model server of a project is doing, asked of itself and not of a command."""

from __future__ import annotations

import json
import urllib.request

from stacks.components.mlserver.folder import ServerFolder
from tests.pipelines.conftest import Project

NAME = "accident-severity-dispatch"


def server_folder(project: Project) -> ServerFolder:
    """What it keeps on disk."""
    return ServerFolder(project.folder / ".serving" / "model-server")


def model_url(project: Project) -> str:
    """Where the model is asked. Raises OSError where no server was started."""
    port = json.loads(server_folder(project).state.read_text(encoding="utf-8"))["http_port"]
    return f"http://127.0.0.1:{port}/v2/models/{NAME}"


def served_version(project: Project) -> str | None:
    """Which version the endpoint itself says it is; None where nothing answers."""
    try:
        with urllib.request.urlopen(model_url(project), timeout=10) as answer:
            return str(json.load(answer)["versions"][0])
    except OSError:
        return None
