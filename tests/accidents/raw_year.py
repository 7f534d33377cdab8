"""Tiny raw years in the published formats, to be spoilt cell by cell."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Self

from accidents.data.quality import QualityReport
from accidents.data.reading import read_year
from accidents.data.sources.year_files import YearFiles
from accidents.data.tables import Tables

# ruff: noqa: E501 - written like a file, a few cells a line

OLD = {
    "caracteristiques": {
        "Num_Acc": "", "an": "13", "mois": "7", "jour": "14", "hrmn": "1745", "lum": "1", "agg": "2", "int": "1",
        "atm": "1", "col": "6", "com": "009", "adr": "12, RUE HAUTE", "gps": "M", "lat": "5062925",
        "long": "0305726", "dep": "590",
    },
    "lieux": {
        "Num_Acc": "", "catr": "3", "voie": "39", "v1": "", "v2": "", "circ": "2", "nbv": "02", "pr": "10",
        "pr1": "910", "vosp": "0", "prof": "1", "plan": "1", "lartpc": "000", "larrout": "061", "surf": "1",
        "infra": "0", "situ": "1", "env1": "99",
    },
    "vehicules": {
        "Num_Acc": "", "senc": "1", "catv": "07", "occutc": "000", "obs": "00", "obsm": "2", "choc": "1",
        "manv": "01", "num_veh": "A01",
    },
    "usagers": {
        "Num_Acc": "", "place": "1", "catu": "1", "grav": "3", "sexe": "1", "trajet": "5", "secu": "11",
        "locp": "0", "actp": "0", "etatp": "0", "an_nais": "1980", "num_veh": "A01",
    },
}  # fmt: skip
NEW = {
    "caracteristiques": {
        "Num_Acc": "", "jour": "14", "mois": "07", "an": "2021", "hrmn": "17:45", "lum": "1", "dep": "59",
        "com": "59009", "agg": "2", "int": "1", "atm": "1", "col": "6", "adr": "RUE HAUTE",
        "lat": "50,6292500", "long": "3,0572600",
    },
    "lieux": {
        "Num_Acc": "", "catr": "3", "voie": "39", "v1": "0", "v2": "", "circ": "2", "nbv": "2", "vosp": "0",
        "prof": "1", "pr": "10", "pr1": "910", "plan": "1", "lartpc": "", "larrout": "6,1", "surf": "1",
        "infra": "0", "situ": "1", "vma": "50",
    },
    "vehicules": {
        "Num_Acc": "", "id_vehicule": "", "num_veh": "A01", "senc": "1", "catv": "7", "obs": "0", "obsm": "2",
        "choc": "1", "manv": "1", "motor": "1", "occutc": "",
    },
    "usagers": {
        "Num_Acc": "", "id_usager": "", "id_vehicule": "", "num_veh": "A01", "place": "1", "catu": "1", "grav": "3",
        "sexe": "1", "an_nais": "1980", "trajet": "5", "secu1": "1", "secu2": "0", "secu3": "-1", "locp": "0",
        "actp": "0", "etatp": "-1",
    },
}  # fmt: skip
NAMES = {
    "caracteristiques": {2021: "carcteristiques-2021", 2022: "carcteristiques-2022", 2024: "caract-2024"}
}


class RawYear:
    """`accidents` accidents of one vehicle and one user each, all alike; `set` and `rows` change them."""

    def __init__(self, year: int = 2013, accidents: int = 3) -> None:
        self.year = year
        form = OLD if year <= 2018 else NEW
        self.rows = {
            table: [self._row(cells, at) for at in range(accidents)] for table, cells in form.items()
        }

    def _row(self, cells: dict[str, str], at: int) -> dict[str, str]:
        row = cells | {"Num_Acc": f"{self.year}{at + 1:08d}"}
        if "an" in row:
            row["an"] = str(self.year if self.year > 2018 else self.year - 2000)
        for name in ("id_vehicule", "id_usager"):
            if name in row:
                row[name] = f"{100 + at}\u00a0{200 + at}"
        return row

    def set(self, table: str, column: str, *values: str) -> Self:
        """Cells of a column, from the first row on."""
        for row, value in zip(self.rows[table], values, strict=False):
            row[column] = value
        return self

    def drop(self, table: str, *columns: str) -> Self:
        """Remove columns from a table, or the table."""
        if not columns:
            del self.rows[table]
        for row in self.rows.get(table, []):
            for column in columns:
                del row[column]
        return self

    def text(self, table: str, separator: str = "", newline: str = "\n") -> str:
        """The table as CSV."""
        out = io.StringIO()
        separator = separator or ("," if self.year <= 2018 else ";")
        writer = csv.DictWriter(out, list(self.rows[table][0]), delimiter=separator, lineterminator=newline)
        writer.writeheader()
        writer.writerows(self.rows[table])
        return out.getvalue()

    def write(
        self, folder: Path, encoding: str = "", separator: str = "", newline: str = "\n", gz: bool = False
    ) -> YearFiles:
        """Write every table under its published name."""
        encoding = encoding or ("latin-1" if self.year <= 2018 else "utf-8")
        paths = {}
        for table in self.rows:
            name = NAMES.get(table, {}).get(
                self.year, f"{table}{'_' if self.year <= 2016 else '-'}{self.year}"
            )
            data = self.text(table, separator, newline).encode(encoding)
            paths[table] = folder / (name + (".csv.gz" if gz else ".csv"))
            paths[table].write_bytes(gzip.compress(data) if gz else data)
        return YearFiles(self.year, **paths)

    def read(self, folder: Path) -> tuple[Tables, QualityReport]:
        """Write the year, read it and hold the tables against their schemas."""
        tables, report = read_year(self.write(folder))
        return tables.validate(), report
