"""`--pipeline inference`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from rich.markup import escape

from accidents.errors import SettingsError
from accidents.files import whole_folder
from accidents.params import Params
from commands.dask_cluster import configuration
from commands.output_folder import folder_for, partitions_address
from commands.project import console, on_stack
from commands.raw_files import hand_over_input, require_seen
from commands.reports_index import renew_index

if TYPE_CHECKING:
    from pipelines.config import PipelineConfig


class ScoredPartitions(TypedDict):
    """Of what the step `score_partitions` leaves, the manifest's facts that are shown.

    `dropped`: rows that reading left out; `parts`: one a partition of predictions.
    """

    rows: int
    scored: int
    set_aside: int
    dropped: int
    alerts: int
    model_name: str
    model_version: str
    warnings: list[str]
    parts: list[Any]


def inference(
    params: Params, stack: str, config: Path | None, given: str, output: str | None, version: str | None,
    reasons: str, raw_csv: bool,
) -> None:  # fmt: skip
    """Check the input, run the pipeline on the stack, put the files where they belong, show what came out.

    Parameters
    ----------
    given : what `--input` says.
    output : the folder for the files; None for reports/inference/INPUT.
    version : of the model; None for the champion.
    reasons : all, alerts or none.
    raw_csv : whether the CSV files are for programs, not for spreadsheets.
    """
    from accidents.scoring.batch import check_input

    started = time.monotonic()
    settings = configuration("inference", stack, config)
    if settings.on_dask:
        if raw_csv:
            raise SettingsError(
                "--raw-csv: with `engine: dask` there are no CSV files; predictions are Parquet."
            )
        _by_partition(params, stack, settings, given, output, version, reasons)
        return
    check_input(given, params.data)
    folder = folder_for(output, given, params.data)
    on_stack(stack)
    from pipelines import inference_summary, runs
    from pipelines.inference import inference as pipeline
    from steps.support.references import refer_to

    run = runs.run(
        pipeline,
        settings,
        given=given,
        input_version=hand_over_input(given, params.data),
        data=params.data,
        stage=params.stage,
        version=refer_to(params.stage, version),
        reasons=reasons,
        raw_csv=raw_csv,
        n_bootstrap=params.evaluation.n_bootstrap,
    )
    run.export([("report_predictions", "inference_report")], whole_folder(folder))
    renew_index(folder, stack, run.commit)
    inference_summary.show(run, folder, stack, time.monotonic() - started, console)


def _by_partition(
    params: Params,
    stack: str,
    settings: PipelineConfig,
    given: str,
    output: str | None,
    version: str | None,
    reasons: str,
) -> None:
    """Score partitions, or a raw year, into partitions: `engine: dask`."""
    from accidents.data.partition_files import is_partitioned, read_manifest
    from accidents.scoring.batch.inputs import is_year, raw_year
    from engine.scoring import require_same

    started = time.monotonic()
    partitioned = is_partitioned(given)
    if not partitioned and not is_year(given):
        raise SettingsError(
            f"--input {given}: with `engine: dask` it is a year, such as 2022, or a folder of partitions, "
            "which `make sample` or a run on raw files writes. A file of accidents is scored with `engine: "
            "local`."
        )
    # What is wrong is said before anything starts.
    promised = read_manifest(given).version if partitioned else raw_year(given, params.data).version
    address = partitions_address(output, given, promised)
    on_stack(stack)
    from pipelines import runs
    from pipelines.inference import inference as pipeline
    from steps.support.references import refer_to
    from steps.support.rows import on_engine

    if partitioned:
        require_seen("--input", given)
    require_seen("--output", address)
    chosen = refer_to(params.stage, version)
    if output:
        made_of = {"input": promised, "model_name": chosen.name, "model_version": chosen.version}
        require_same(address, made_of | {"bundle": chosen.digest, "reasons": reasons})
    with on_engine(settings.on_dask):
        run = runs.run(
            pipeline,
            settings,
            given=given,
            input_version=promised if partitioned else hand_over_input(given, params.data),
            data=params.data,
            stage=params.stage,
            version=chosen,
            reasons=reasons,
            n_bootstrap=params.evaluation.n_bootstrap,
            dask=settings.on_dask,
            output=address,
            replace=output is None,
        )
    _show_partitions(run.load("score_partitions", "scored"), address)
    console.print(f"{time.monotonic() - started:.0f} s on stack {stack}.", highlight=False)


def _show_partitions(scored: ScoredPartitions, address: str) -> None:
    dropped = f", [yellow]{scored['dropped']:,} dropped as they were read[/]" if scored["dropped"] else ""
    lines = [
        f"{scored['rows']:,} rows: {scored['scored']:,} scored, {scored['set_aside']:,} set aside{dropped}; "
        f"{scored['alerts']:,} alerts, by {scored['model_name']} version {scored['model_version']}.",
        *(f"[yellow]{escape(warning)}[/]" for warning in scored["warnings"]),
        f"{len(scored['parts'])} partitions of predictions, and manifest.json: {escape(address)}",
    ]
    for line in lines:
        console.print(line, highlight=False)
