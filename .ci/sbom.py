"""What is in our images, as CycloneDX (`make sbom`): dist/NAME.cdx.json, asked of the images themselves.

.ci/sbom.py TAG [IMAGE ...]
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from release_images import IMAGES

ROOT = Path(__file__).resolve().parent.parent
PYTHON = """
import importlib.metadata as m, json
print(json.dumps(sorted({(package.metadata["Name"], package.version) for package in m.distributions()})))
"""
# In Airflow's image its own environment stands beside the pipelines'.
EACH_PYTHON = 'python -c "$1"; if [ -x /airflow/bin/python ]; then /airflow/bin/python -c "$1"; fi'
DEBIAN = ("dpkg-query", "--show", "--showformat", "${Package}\t${Version}\t${Architecture}\n")


def bill(image: str, tag: str) -> str:
    """Return the bill of materials of one image, checked against CycloneDX's schema."""
    name = f"road-accidents/{image}:{tag}"
    bom = Bom()
    digest = _said("docker", "image", "inspect", "--format", "{{.Id}}", name).strip()
    bom.metadata.component = Component(
        name=f"road-accidents/{image}", version=tag, type=ComponentType.CONTAINER, bom_ref=digest
    )
    packages = _inside(name, "sh", "-ec", EACH_PYTHON, "sh", PYTHON).splitlines()
    for package, version in sorted(
        {(package, version) for line in packages for package, version in json.loads(line)}
    ):
        bom.components.add(_component(PackageURL("pypi", name=package.lower(), version=version)))
    for line in _inside(name, *DEBIAN).splitlines():
        package, version, architecture = line.split("\t")
        bom.components.add(_component(PackageURL("deb", "debian", package, version, {"arch": architecture})))
    bom.register_dependency(bom.metadata.component, bom.components)
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"{image}: the bill is not CycloneDX 1.6: {str(wrong.data)[:300]}")
    return text


def _component(purl: PackageURL) -> Component:
    return Component(
        name=purl.name, version=purl.version, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl)
    )


def _inside(image: str, *command: str) -> str:
    return _said(
        "docker", "run", "--rm", "--network", "none", "--entrypoint", command[0], image, *command[1:]
    )


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    (ROOT / "dist").mkdir(exist_ok=True)
    for each in sys.argv[2:] or IMAGES:
        file = ROOT / "dist" / f"{each}.cdx.json"
        file.write_text(bill(each, sys.argv[1]), encoding="utf-8")
        print(file.relative_to(ROOT))
