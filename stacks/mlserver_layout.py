"""How MLServer wants a model laid out, whoever starts it: NAME/model-settings.json, beside its bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from accidents.files import whole_folder

IMPLEMENTATION = "serving.runtime.bundle_runtime.BundleRuntime"
SETTINGS_FILE = "model-settings.json"


def model_settings(name: str, bundle: Path, version: str, digest: str, routes: str | None) -> dict[str, Any]:
    """Return MLServer's settings of a model: serving/runtime/bundle_runtime.py says what it makes of them."""
    extra = {"version": version, "digest": digest, **({"routes": routes} if routes else {})}
    return {
        "name": name,
        "implementation": IMPLEMENTATION,
        "parameters": {"uri": str(bundle), "extra": extra},
    }


def write_model(models: Path, name: str, version: str, bundle: Path, digest: str) -> None:
    """Copy a bundle and its settings below `models`, whole or not at all, for a server of any account."""
    settings = model_settings(name, Path("bundle"), version, digest, routes=None)
    with whole_folder(models / name) as part:
        shutil.copytree(bundle, part / "bundle")
        (part / SETTINGS_FILE).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        for path in (part, *part.rglob("*")):  # to the container's user, whatever this one's umask
            path.chmod(0o755 if path.is_dir() else 0o644)
