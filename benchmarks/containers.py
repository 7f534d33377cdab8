"""What steps in containers of our image cost over the same in a process, and how large our images are."""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accidents.__about__ import __version__
from accidents.files import ROOT
from benchmarks.options import Options, SkippedError
from benchmarks.project_copy import copy_project
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.served_project import SMALL, Project
from stacks.container_engine import container_engine, find_image
from stacks.errors import StackError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.images import Image

TITLE = "What a container costs"
BUDGETS = {"pipelines": 1_200, "model-server": 600, "api": 250}  # MB of our images
WAYS = {"bare": "in a process", "image": "in containers"}
PIPELINES = {"train": (), "inference": ("--input", "2022")}
STACK = """name: image
description: Stack bare with steps in containers of our image.
components:
  orchestrator:
    flavor: local_image
  artifact_store:
    flavor: local
    config:
      path: "{store}/local_stores/image"
"""


def run(options: Options) -> Outcome:
    """Run both stacks in turn, each round another experiment, so that nothing is cached."""
    (sizes, base), rounds = _images(), 1 if options.quick else 3
    with tempfile.TemporaryDirectory(prefix="containers-") as place:
        folder = copy_project(Path(place) / "project", SMALL if options.quick else None)
        (folder / "stacks" / "image.yaml").write_text(STACK, encoding="utf-8")
        project = Project(folder)
        seconds = [_round(project, _with_seed(folder, seed)) for seed in range(rounds)]
    medians = {
        (pipeline, way): statistics.median(each[pipeline, way] for each in seconds)
        for pipeline in PIPELINES
        for way in WAYS
    }
    rows = [
        (pipeline, *(f"{medians[pipeline, way]:.1f}" for way in WAYS),
         f"{medians[pipeline, 'image'] / medians[pipeline, 'bare']:.2f}")
        for pipeline in PIPELINES
    ]  # fmt: skip
    figures = tuple(
        Figure(what=f"Image {name}", target=f"at most {most:,} MB", figure=f"{sizes[name]:,.0f} MB",
               met=sizes[name] <= most)
        for name, most in BUDGETS.items()
    )  # fmt: skip
    about = (
        "`python run.py --pipeline train`, then `inference --input 2022`, on stack `bare` and on the same "
        f"with orchestrator `local_image`: a container a step. In turn, {rounds} rounds, medians of seconds, "
        "nothing cached. Images as the container engine says how large they are, all layers; "
        f"{base}"
    )
    body = table(("pipeline", *(f"{way}, s" for way in WAYS.values()), "ratio"), rows)
    return Outcome(about=about, figures=figures, body=body)


def _images() -> tuple[dict[str, float], str]:
    """Size of each of our images in MB, and what their base is.

    Raises SkippedError without them or a container engine.
    """
    names = {name: f"road-accidents/{name}:{__version__}" for name in BUDGETS}
    try:
        with container_engine() as engine:
            sizes = {name: find_image(engine, image).attrs["Size"] / 1e6 for name, image in names.items()}
            base = base_of(engine, names["api"])
            return sizes, in_words(base.tags if base else [], base.attrs["Size"] / 1e6 if base else 0)
    except StackError as error:
        raise SkippedError(f"it needs our images and a container engine: {error}") from error


def base_of(engine: DockerClient, name: str) -> Image | None:
    """Find the image that one of ours was built on, by its layers; None if it is not here."""
    layers = _layers(find_image(engine, name))
    below = [one for one in engine.images.list() if one.tags and _layers(one) != layers]
    below = [one for one in below if _layers(one) and layers[: len(_layers(one))] == _layers(one)]
    return max(below, key=lambda one: len(_layers(one)), default=None)


def in_words(names: Sequence[str], megabytes: float) -> str:
    """Say which base it was; of any but the Dockerfiles' own, that the budgets say nothing of that one.

    Parameters
    ----------
    names : of the base, as the engine has it; none where it is not here.
    """
    own = base_of_dockerfile()
    if own in names:
        return f"{megabytes:,.0f} MB are their base, `{own}`."
    which = f"{megabytes:,.0f} MB are their base, `{names[0]}`" if names else "their base is not known here"
    return (
        f"{which} (`.ci/base-image` makes one of Debian's packages where the Dockerfiles' own, `{own}`, "
        "cannot be pulled): on that one the budgets are unproved."
    )


def base_of_dockerfile() -> str:
    """Return the base that the Dockerfiles name."""
    (name,) = re.findall(r"^ARG BASE_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.M)
    return str(name)


def _layers(image: Image) -> list[str]:
    return list(image.attrs["RootFS"].get("Layers") or [])


def _with_seed(folder: Path, seed: int) -> str:
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    (folder / f"seed-{seed}.yaml").write_text(
        text.replace("\nseed: 7", f"\nseed: {seed}", 1), encoding="utf-8"
    )
    return f"seed-{seed}.yaml"


def _round(project: Project, params: str) -> dict[tuple[str, str], float]:
    seconds = {}
    for pipeline, words in PIPELINES.items():
        for way in WAYS:
            started = time.perf_counter()
            project.run("--pipeline", pipeline, *words, "--params", params, "--stack", way)
            seconds[pipeline, way] = time.perf_counter() - started
    return seconds
