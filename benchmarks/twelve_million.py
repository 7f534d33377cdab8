"""Twelve million accidents on two Dask workers of 4 GiB, beside a tenth of them in one process."""

from __future__ import annotations

import tempfile
from pathlib import Path

from accidents.data.partition_files import read_manifest
from benchmarks.options import Options, SkippedError
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.scale_out import MOST_DRIVER_GIB, REPORTS, YEARS, has_dask
from benchmarks.separate_process import measure

TITLE = "Past one machine: twelve million accidents"
SCALE = 10  # partitions a year; `local` learns from one of them
MOST_OVER_LOCAL = 1.2  # times SCALE


def run(options: Options) -> Outcome:
    """Measure once: half an hour, and 2 GB of disk."""
    from accidents.data.sample_partitions import write_partitions

    if not has_dask():
        raise SkippedError("it needs Dask: make dask")
    years, accidents = (YEARS[-2:], 2_000) if options.quick else (YEARS, 60_000)
    with tempfile.TemporaryDirectory(prefix="twelve-million-") as place:
        source = f"{place}/sample"
        write_partitions(source, years, SCALE, accidents=accidents)
        return outcome(source)


def outcome(source: str) -> Outcome:
    """Measure on partitions that are there, `SCALE` for each year."""
    parts = read_manifest(source).parts
    total = sum(part.accidents for part in parts)
    with tempfile.TemporaryDirectory(prefix="twelve-million-work-") as work:
        local = measure("benchmarks.scale_out:train_locally", source=source, every=SCALE)
        dask = measure(
            "benchmarks.scale_out:train_on_dask", source=source, folder=str(Path(work) / "work"),
            report=str(REPORTS / "dask_twelve_million.html"),
        )  # fmt: skip
    ratio, most = dask.result["total"] / local.result["total"], MOST_OVER_LOCAL * SCALE
    figures = (
        Figure(
            what=f"{total:,} accidents prepared, trained, evaluated on Dask, 2 workers of 4 GiB",
            target="ends",
            figure=f"{dask.result['total'] / 60:.0f} minutes",
            met=True,
        ),
        Figure(
            what=f"The same against `local` with {total // SCALE:,} accidents",
            target=f"at most {most:g} ×",
            figure=f"{ratio:.1f} ×",
            met=ratio <= most,
        ),
        Figure(
            what="Peak memory of the process that drives it",
            target=f"at most {MOST_DRIVER_GIB:g} GiB",
            figure=f"{dask.peak_gib:.2f} GiB",
            met=dask.peak_gib <= MOST_DRIVER_GIB,
        ),
    )
    phases = [
        (name, f"{local.result['phases'].get(name, 0):.0f}", f"{seconds:.0f}")
        for name, seconds in dask.result["phases"].items()
    ]
    about = (
        f"As in 'Past one machine: Dask', with {total:,} synthetic accidents in {len(parts)} partitions on "
        "Dask, and a tenth of them in one process. The functions of the steps are called, not `run.py`: no "
        "baselines, refit, validation or registration."
    )
    return Outcome(about=about, figures=figures, body=table(("phase", "local, s", "Dask, s"), phases))
