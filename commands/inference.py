"""`--pipeline inference`."""

from __future__ import annotations

import time
from pathlib import Path

from accidents.errors import SettingsError
from accidents.files import whole_folder
from accidents.params import Params
from commands.project import ROOT, console, on_stack
from commands.raw_files import hand_over_input


def inference(
    params: Params, stack: str, config: Path | None, given: str, output: Path | None, version: str | None,
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
    from accidents.scoring.batch import check_input, name_of
    from pipelines.config import load_config

    started = time.monotonic()
    settings = load_config("inference", stack, ROOT / "configs", config)
    check_input(given, params.data)
    folder = output or ROOT / "reports" / "inference" / name_of(given)
    _check_output(folder)
    on_stack(stack)
    from accidents.reports.index import write_index
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
    write_index(ROOT / "reports")
    inference_summary.show(run, folder, stack, time.monotonic() - started, console)


def _check_output(folder: Path) -> None:
    """Refuse to replace what is not the output of an earlier run."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "summary.json").exists():
        raise SettingsError(f"--output {folder} holds other files, which would be lost: name a new folder.")
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"--output {folder} is a file: name a folder.")
