"""Small files in the published form, for tests that need no real content."""

from __future__ import annotations

from accidents.data.sources.published_files import published_files

HEADERS = {
    "caracteristiques": "Num_Acc,an,mois,jour,hrmn,lum,agg,int,atm,col,com,adr,gps,lat,long,dep",
    "lieux": "Num_Acc,catr,voie,v1,v2,circ,nbv,pr,pr1,vosp,prof,plan,lartpc,larrout,surf,infra,situ,env1",
    "vehicules": "Num_Acc,senc,catv,occutc,obs,obsm,choc,manv,num_veh",
    "usagers": "Num_Acc,place,catu,grav,sexe,trajet,secu,locp,actp,etatp,an_nais,num_veh",
}


def csv_of(table: str, year: int, rows: int = 1500, separator: str = ",") -> bytes:
    """A table of `rows` lines (30 to 80 kB at the usual size), different for each table and year."""
    columns = HEADERS[table].split(",")
    lines = [columns]
    for row in range(rows):
        lines.append([f"{year}{row:08d}", *(str((row * 7 + cell) % 10) for cell in range(len(columns) - 1))])
    return "".join(separator.join(line) + "\r\n" for line in lines).encode("latin-1")


def resource(table: str, year: int) -> str:
    """The path below the base address at which a table of a year is asked for."""
    return next("/" + file.resource_id for file in published_files([year]) if file.table == table)


def all_of(year: int) -> dict[str, bytes]:
    """The four tables of a year by their path on the server."""
    separator = "," if year < 2019 else ";"
    return {resource(table, year): csv_of(table, year, separator=separator) for table in HEADERS}
