"""The program that makes a Bento of bundles, in a process of its own: `bentoml build` imports the service.

    BENTOML_HOME=FOLDER python -m stacks.components.bentoml.building CODE NAME TAG METADATA BUNDLES

CODE has bentofile.yaml. The bundles become the model NAME:TAG of BentoML's model store, the service with it
the Bento NAME:TAG. As JSON: METADATA, the model's; BUNDLES, the folder of each by its name in the model.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bentoml
from bentoml import bentos

FILE = "bentofile.yaml"


def build(code: Path, name: str, version: str, metadata: dict[str, Any], bundles: Mapping[str, str]) -> None:
    """Add the model, then the Bento, to the stores of BENTOML_HOME."""
    tag = f"{name}:{version}"
    with bentoml.models.create(tag, metadata=metadata) as model:
        for folder, bundle in bundles.items():
            shutil.copytree(bundle, Path(model.path) / folder)
    bentos.build_bentofile(
        str(code / FILE), name=name, version=version, build_ctx=str(code), args={"model": tag}
    )


if __name__ == "__main__":
    code, name, version, metadata, bundles = sys.argv[1:]
    build(Path(code), name, version, json.loads(metadata), json.loads(bundles))
