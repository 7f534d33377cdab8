"""Settings come from configs/api.yaml and the environment; what is wrong is named."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from accidents.errors import SettingsError
from serving.api.settings import PREFIX, ApiSettings, load_settings
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty project, and none of our variables."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ACCIDENTS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "configs").mkdir()


def write(text: str) -> None:
    Path("configs/api.yaml").write_text(text, encoding="utf-8")


def test_the_projects_own_file_says_the_defaults() -> None:
    write((ROOT / "configs" / "api.yaml").read_text(encoding="utf-8"))
    from_file = load_settings()
    write("")
    assert from_file == load_settings()
    assert from_file.model_fields_set == set(ApiSettings.model_fields)


def test_variables_that_others_of_us_read_are_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = ("accidents", "commands", "engine", "steps", "pipelines", "stacks", "observability")
    files = [path for room in rooms for path in (ROOT / room).rglob("*") if path.suffix in (".py", ".yaml")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*files, ROOT / "Dockerfile"])
    names = set(re.findall(rf"\b{PREFIX}([A-Z_]+)\b", text))
    others = {name for name in names if name.lower() not in ApiSettings.model_fields}
    assert {"COMMIT", "DVC_REMOTE"} <= others
    for name in others:
        monkeypatch.setenv(PREFIX + name, "something")
    load_settings()


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write("port: 8001\ndocs: key\ntrusted_proxies: [10.0.0.1]\n")
    assert (load_settings().port, load_settings().docs) == (8001, "key")
    assert load_settings().trusted_proxies == ("10.0.0.1",)
    monkeypatch.setenv("ACCIDENTS_PORT", "8002")
    monkeypatch.setenv("ACCIDENTS_TRUSTED_PROXIES", "10.0.0.2, 10.0.0.3")
    assert load_settings().port == 8002
    assert load_settings().trusted_proxies == ("10.0.0.2", "10.0.0.3")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot: 8001", "unknown key `prot`, did you mean `port`?"),
        ("zzz: 1", "unknown key `zzz`, valid keys here: accidents_per_minute"),
        ("port: many", "`port`"),
        ("body_limit: 10", "`body_limit`"),
        ("waiting: 20", "`waiting`"),
        ("model_server: nowhere", "`model_server`"),
        ("docs: [", "cannot be read as YAML"),
        ("metrics: public", "`metrics` input should be 'open', 'key' or 'closed'"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(text: str, says: str) -> None:
    write(text)
    with pytest.raises(SettingsError) as told:
        load_settings()
    assert says in str(told.value)
    assert "\n" not in str(told.value) or "YAML" in says


def test_a_mistyped_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCIDENTS_PROT", "8001")
    with pytest.raises(SettingsError, match=r"ACCIDENTS_PROT.*port"):
        load_settings()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_which_hosts_others_can_reach(host: str, loopback: bool) -> None:
    assert ApiSettings(host=host).loopback is loopback
