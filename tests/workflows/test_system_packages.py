"""`.ci/system-packages` leaves no service of Debian's open to the network."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

OPEN = ("docker-registry", "prometheus", "prometheus-alertmanager", "prometheus-pushgateway")


@pytest.mark.parametrize("there", [(), OPEN[1:], (*OPEN, "chromium")], ids=["none", "some", "all"])
def test_services_that_it_installs_do_not_run(tmp_path: Path, there: tuple[str, ...]) -> None:
    """On a machine with systemd; what was there before is left as it was."""
    script = tmp_path / "system-packages"
    text = (ROOT / ".ci" / "system-packages").read_text(encoding="utf-8")
    assert "/run/systemd/system" in text
    script.write_text(text.replace("/run/systemd/system", str(tmp_path)))
    stand_ins = {
        "apt-get": "",
        "npm": "",
        "sudo": 'shift; exec "$@"',
        "systemctl": f'echo "$*" >> {tmp_path}/told',
        "dpkg-query": f'case " {" ".join(there)} " in *" $3 "*) echo installed ;; esac',
    }
    (tmp_path / "bin").mkdir()
    for name, does in stand_ins.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", script], env={**os.environ, "PATH": path}, check=True)
    told = tmp_path / "told"
    ended = told.read_text().splitlines() if told.exists() else []
    assert ended == [f"disable --now {name}" for name in OPEN if name not in there]
