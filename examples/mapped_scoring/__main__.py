"""`python -m examples.mapped_scoring --input FOLDER`: score partitions, each in a step of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from accidents.errors import AccidentsError
from stacks.errors import StackError


def main(words: list[str]) -> int:
    """Run the pipeline with the champion; 0 if it went well."""
    parser = argparse.ArgumentParser(prog="python -m examples.mapped_scoring", description=__doc__)
    parser.add_argument("--input", required=True, help="a folder of partitions, or s3://bucket/folder")
    parser.add_argument("--stack", default="local")
    parser.add_argument("--reasons", default="none", choices=("all", "alerts", "none"))
    asked = parser.parse_args(words)
    try:
        _score(asked.input, asked.stack, asked.reasons)
    except (AccidentsError, StackError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _score(given: str, stack: str, reasons: str) -> None:
    from commands.arguments.options import ROOT, prepare

    prepare(stack)
    from accidents.data.partition_files import read_manifest
    from accidents.data.storage import is_remote
    from accidents.params import load_params
    from commands.project import on_stack

    source = given if is_remote(given) else str(Path(given).resolve())
    source_version = read_manifest(source).version
    stage = load_params(ROOT / "params.yaml").stage
    on_stack(stack)
    from examples.mapped_scoring.pipeline import mapped_scoring
    from pipelines import runs
    from pipelines.config import PipelineConfig
    from steps.support.references import refer_to

    version = refer_to(stage, None)
    run = runs.run(
        mapped_scoring, PipelineConfig(enable_cache=False),
        source=source, source_version=source_version, version=version, reasons=reasons,
    )  # fmt: skip
    counts = run.load("gather_counts", "counts")
    print(
        f"{counts['partitions']} partitions: {counts['scored']:,} accidents scored, {counts['set_aside']:,} "
        f"set aside, {counts['alerts']:,} alerts, by {version.name} version {version.version}.\n"
        f"Each partition's predictions are an artifact of its step in run {run.name}."
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
