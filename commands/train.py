"""`--pipeline train`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accidents.bundle.provenance import git_commit
from accidents.params import Params
from commands.project import ROOT, console, on_stack


def train(
    params: Params,
    stack: str,
    config: Path | None,
    cache: bool,
    provenance: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Check everything, have the data, run the pipeline on the stack, show what came out.

    `provenance` are further tags for the run and the version. Returns what summary.json holds: decision,
    model_version, champion_version and more.
    """
    from pipelines.config import load_config

    started = time.monotonic()
    options = load_config("train", stack, ROOT / "configs", config).options()
    raw_version = raw_data(params)
    registry = on_stack(stack)
    from pipelines import summary
    from pipelines.train import train as pipeline

    champion = registry.champion(registry.model_name(params.stage))
    if not cache:
        options["enable_cache"] = False
    run: Any = pipeline.with_options(**options)(
        params=params,
        raw_version=raw_version,
        champion=str(champion.number) if champion else None,
        provenance={"git_commit": git_commit(ROOT), **(provenance or {})},
    )
    summary.export(run, ROOT / "reports")
    summary.show(run, ROOT / "reports", stack, time.monotonic() - started, console)
    made: dict[str, Any] = json.loads((ROOT / "reports" / "summary.json").read_text(encoding="utf-8"))
    return made


def raw_data(params: Params) -> str:
    """Have the raw data, before ZenML starts; return its version."""
    from accidents.data.dataset import have_raw

    return have_raw(params.data).version
