"""The program that makes a Bento of a bundle, in a process of its own: `bentoml build` imports the service.

    BENTOML_HOME=FOLDER python -m stacks.components.bentoml.building CODE BUNDLE NAME TAG METADATA

CODE has bentofile.yaml. The bundle becomes the model NAME:TAG of BentoML's model store, the service with it
the Bento NAME:TAG; METADATA, as JSON, is the model's.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import bentoml
from bentoml import bentos

from stacks.components.bentoml.bento_stores import BUNDLE

FILE = "bentofile.yaml"


def build(code: Path, bundle: Path, name: str, version: str, metadata: dict[str, str]) -> None:
    """Add the model, then the Bento, to the stores of BENTOML_HOME."""
    tag = f"{name}:{version}"
    with bentoml.models.create(tag, metadata=metadata) as model:
        shutil.copytree(bundle, Path(model.path) / BUNDLE)
    bentos.build_bentofile(
        str(code / FILE), name=name, version=version, build_ctx=str(code), args={"model": tag}
    )


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4], json.loads(sys.argv[5]))
