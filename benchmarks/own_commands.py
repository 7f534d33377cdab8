"""Benchmarks that are commands of their own and print their result as Markdown."""

from __future__ import annotations

import subprocess
import sys

from accidents.errors import AccidentsError
from accidents.files import ROOT
from benchmarks.options import Options, SkippedError
from benchmarks.results_page import Outcome
from benchmarks.separate_process import clean_environment


def run(module: str, about: str, options: Options) -> Outcome:
    """Return what `python -m MODULE --baac FOLDER` prints.

    Its progress, on standard error, is seen meanwhile.
    """
    if options.quick:
        raise SkippedError("it has no small version")
    if not options.baac.is_dir():
        raise SkippedError("it needs the real files, and there are none: give their folder with --baac")
    words = [sys.executable, "-m", module, "--baac", str(options.baac.resolve())]
    done = subprocess.run(words, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise AccidentsError(f"{module} ended with {done.returncode}; its own message stands above.")
    return Outcome(about=about, body=done.stdout)
