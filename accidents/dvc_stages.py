"""The stages of dvc.yaml that need no pipeline: `python -m accidents.dvc_stages raw`, and `prepared`."""

from __future__ import annotations

import shutil
import sys

from accidents.data.dataset import DATA, STAMP, fetch_raw, laid_out, layout, stamp, versioned
from accidents.data.reading import read_years
from accidents.data.sources.settings import DataSettings
from accidents.data.table_files import save_tables
from accidents.errors import AccidentsError
from accidents.files import ROOT, whole_folder
from accidents.params import load_params


def _raw(settings: DataSettings) -> None:
    with whole_folder(DATA / "raw") as part:
        for inside, path in layout(fetch_raw(settings).years).items():
            (part / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, part / inside)


def _prepared() -> None:
    raw = versioned(laid_out(DATA / "raw"))
    tables, quality = read_years(raw.years)
    with whole_folder(STAMP.parent) as part:
        save_tables(part, tables.validate(), quality)
        (part / STAMP.name).write_text(stamp(raw, part), encoding="utf-8")
    print(f"{len(tables.accidents):,} accidents prepared.")


def main(words: list[str]) -> int:
    """Run one stage of dvc.yaml; 0 if it went well."""
    try:
        if words == ["raw"]:
            _raw(load_params(ROOT / "params.yaml").data)
        elif words == ["prepared"]:
            _prepared()
        else:
            print("usage: python -m accidents.dvc_stages raw|prepared", file=sys.stderr)
            return 2
    except AccidentsError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
