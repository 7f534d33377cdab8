"""`make sample`: synthetic years as partitions, for `--source FOLDER`: `python -m commands.sample`."""

from __future__ import annotations

import argparse
import sys

from accidents.errors import AccidentsError


def main(words: list[str]) -> int:
    """Write them; 0 if it went well."""
    parser = argparse.ArgumentParser(prog="python -m commands.sample", description=__doc__)
    parser.add_argument("--years", default="2021-2022", help="such as 2018, 2018,2024 or 2005-2024")
    parser.add_argument("--scale", type=int, default=1, help="partitions of 60,000 accidents a year")
    parser.add_argument("--folder", default="data/sample_partitions", help="or s3://bucket/folder")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args(words)
    try:
        from accidents.data.sample_partitions import write_partitions
        from commands.arguments.options import parse_years

        parts = write_partitions(asked.folder, parse_years(asked.years), max(asked.scale, 1), asked.seed)
    except AccidentsError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    accidents = sum(part.accidents for part in parts)
    print(f"{accidents:,} synthetic accidents in {len(parts)} partitions: --source {asked.folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
