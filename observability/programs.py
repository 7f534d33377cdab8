"""The programs that watch: where they are, and how each is started. All listen where they are told only."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from observability.addresses import Addresses

# By the Debian package: the names the program has there and elsewhere.
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "prometheus": ("prometheus",),
    "prometheus-alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "prometheus-pushgateway": ("prometheus-pushgateway", "pushgateway"),
}
GRAFANA = ("grafana-server", "grafana")
_GRAFANA_HOME = Path("/usr/share/grafana")  # of its Debian package; unpacked by hand, it is above bin/


def find(names: tuple[str, ...]) -> str | None:
    """Return the first of these that can be run."""
    return next((path for name in names if (path := shutil.which(name))), None)


def missing() -> list[str]:
    """Debian packages whose program is not here."""
    return [package for package, names in PROGRAMS.items() if find(names) is None]


def commands(folder: Path, at: Addresses) -> dict[str, list[str]]:
    """Return the words that start each, with what `write_configs` wrote into `folder`.

    Their data goes there too.
    """
    return {
        "pushgateway": [
            str(find(PROGRAMS["prometheus-pushgateway"])),
            f"--web.listen-address={at.pushgateway}",
            f"--persistence.file={folder / 'pushgateway.data'}",
            "--log.level=warn",
        ],
        "alertmanager": [
            str(find(PROGRAMS["prometheus-alertmanager"])),
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={at.alertmanager}",
            "--cluster.listen-address=",  # else it listens on every address, for others of its kind
            "--log.level=warn",
        ],
        "prometheus": [
            str(find(PROGRAMS["prometheus"])),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={at.prometheus}",
            "--log.level=warn",
        ],
    }


def grafana(folder: Path, at: Addresses) -> tuple[list[str], dict[str, str]] | None:
    """Return the words and variables that start Grafana, or None where it is not installed."""
    program = find(GRAFANA)
    homes = (_GRAFANA_HOME, Path(program or "").resolve().parent.parent)
    home = next((home for home in homes if (home / "conf").is_dir()), None)
    if program is None or home is None:
        return None
    words = [program, *(["server"] if Path(program).name == "grafana" else []), f"--homepath={home}"]
    host, _, port = at.grafana.rpartition(":")
    return words, {
        "GF_SERVER_HTTP_ADDR": host,
        "GF_SERVER_HTTP_PORT": port,
        "GF_PATHS_DATA": str(folder / "grafana"),
        "GF_PATHS_LOGS": str(folder / "grafana" / "log"),
        "GF_PATHS_PROVISIONING": str(folder / "provisioning"),
        "GF_LOG_MODE": "file",
        # It listens on this machine only, and asks no other one for anything.
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_SECURITY_DISABLE_GRAVATAR": "true",
    }
