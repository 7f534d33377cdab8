"""Prometheus', Alertmanager's and Grafana's files with the addresses and keys of one machine or platform."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
RULES = HERE / "rules"  # Prometheus reads every file of it
METRICS_KEY, HOOK_KEY = "metrics-key", "hook-key"  # beside the files; for whom they are is in their names


@dataclass(frozen=True)
class Addresses:
    """Where each listens, as host:port; `loop`: whether an alert may start the loop, through the API."""

    api: str
    model_server: str
    prometheus: str
    alertmanager: str
    pushgateway: str
    supervisor: str | None = "127.0.0.1:8088"
    grafana: str = "127.0.0.1:3000"
    loop: bool = True

    @property
    def targets(self) -> dict[str, str | None]:
        """What Prometheus reads, by the name of the job; None: there is no such thing."""
        return {
            "accidents-api": self.api,
            "accidents-model-server": self.model_server,
            "accidents-supervisor": self.supervisor,
            "accidents-pushgateway": self.pushgateway,
        }


def write_configs(folder: Path, at: Addresses) -> None:
    """Write them all into `folder`; the keys that they name are files there, made by somebody else."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(RULES, folder / "rules", dirs_exist_ok=True)
    _write(folder / "prometheus.yml", _prometheus(at))
    _write(folder / "alertmanager.yml", _alertmanager(at))
    provisioning = folder / "provisioning"
    _write(provisioning / "datasources" / "prometheus.yaml", _data_source(at))
    _write(provisioning / "dashboards" / "accidents.yaml", _dashboards())


def _prometheus(at: Addresses) -> dict[str, Any]:
    config = _read("prometheus.yml")
    config["scrape_configs"] = [job for job in config["scrape_configs"] if at.targets[job["job_name"]]]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [at.targets[job["job_name"]]]}]
        if job["job_name"] == "accidents-api":
            job["authorization"] = {"credentials_file": METRICS_KEY}
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [at.alertmanager]}]}]
    return config


def _alertmanager(at: Addresses) -> dict[str, Any]:
    config = _read("alertmanager.yml")
    for receiver in config["receivers"]:
        if receiver["name"] == "loop":
            (hook,) = receiver["webhook_configs"]
            hook["url"] = f"http://{at.api}/hooks/alert"
            if not at.loop:
                del receiver["webhook_configs"]  # such alerts then stand on the page alone
    return config


def _data_source(at: Addresses) -> dict[str, Any]:
    config = _read("grafana/provisioning/datasources/prometheus.yaml")
    for source in config["datasources"]:
        source["url"] = f"http://{at.prometheus}"
    return config


def _dashboards() -> dict[str, Any]:
    config = _read("grafana/provisioning/dashboards/accidents.yaml")
    for provider in config["providers"]:
        provider["options"]["path"] = str(HERE / "grafana" / "dashboards")
    return config


def _read(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((HERE / name).read_text(encoding="utf-8"))
    return config


def _write(path: Path, config: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
