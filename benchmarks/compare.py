"""The model report of a branch: its metrics, gates, slices and curves against those of main.

python -m benchmarks.compare main              reports/ of this folder against main, trained if need be
python -m benchmarks.compare origin/main HEAD  two revisions
python -m benchmarks.compare FOLDER FOLDER     two folders of reports
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from accidents.errors import AccidentsError
from accidents.files import ROOT, write_whole
from benchmarks.model_report import TrainingReports, model_report, read_reports
from benchmarks.pull_request_comment import pull_request
from benchmarks.revision_reports import commit_of, reports_of


def main(words: Sequence[str], root: Path = ROOT) -> int:
    """Print the report, or write it to a file; 1 if one side has none."""
    arguments = _parser().parse_args(words)
    try:
        before, after = (_side(text, root) for text in (arguments.before, arguments.after))
        text = model_report(before, after)
        if arguments.output:
            write_whole(arguments.output, text)
        else:
            print(text, end="")
        if arguments.post:
            print(pull_request(arguments.post, os.environ).comment(text), file=sys.stderr)
    except (AccidentsError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _side(text: str, root: Path) -> TrainingReports:
    """Read a folder of reports, or those of a revision."""
    folder = Path(text)
    if folder.is_dir():
        return read_reports(folder, f"`{text.rstrip('/')}`")
    return read_reports(reports_of(text, root), f"`{text}` ({commit_of(text, root)[:7]})")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", metavar="BEFORE", help="a git revision, or a folder of reports")
    parser.add_argument(
        "after", metavar="AFTER", nargs="?", default="reports", help="the same; without: reports"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write it there instead of printing it")
    parser.add_argument(
        "--post", metavar="NUMBER", help="also as our comment on this pull request of GITHUB_REPOSITORY"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
