"""Secrets: a canary in each secret setting is found nowhere but in ZenML's secret store."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.apply import apply_stack
from stacks.check import check_stack
from stacks.definition import read_stack
from stacks.errors import StackError
from stacks.secrets import refuse_in_clear
from stacks.teardown import teardown_stack
from tests.processes import free_port
from tests.stacks.conftest import StackWriter

CANARY = "canary-7f3a91c2"
STORE = {
    "flavor": "s3",
    "config": {"path": "s3://zenml", "key": "${S3_KEY}", "secret": "${S3_SECRET}", "token": "${S3_TOKEN}"},
}


def planted(stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch, name: str, tail: str = "") -> Path:
    """A stack file that takes a canary from the environment wherever it takes a secret."""
    for variable in ("S3_KEY", "S3_SECRET", "S3_TOKEN", "TRACKING_PASSWORD"):
        monkeypatch.setenv(variable, f"{CANARY}-{variable}{tail}")
    login = {"tracking_username": "me-${S3_KEY}", "tracking_password": "${TRACKING_PASSWORD}"}
    tracker = {"tracking_uri": f"http://127.0.0.1:{free_port()}", **login}
    return stack_file(name, artifact_store=STORE, experiment_tracker={"flavor": "mlflow", "config": tracker})


def test_what_the_environment_gives_is_in_no_file_export_message_or_component(
    zenml_store: Path,
    stack_file: StackWriter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from zenml.client import Client

    folder = planted(stack_file, monkeypatch, "canary")
    said = [str(apply_stack("canary", activate=False, folder=folder))]
    said += [str(finding) for finding in check_stack("canary", folder)]
    planted(stack_file, monkeypatch, "canary", tail="-other")
    changes = apply_stack("canary", activate=False, folder=folder).changes
    assert any(
        one.startswith("updated secret artifact_store_canary_s3: key, secret, token") for one in changes
    )
    stack = Client().get_stack("canary")
    said += [
        *changes,
        yaml.safe_dump(stack.to_yaml()),
        stack.model_dump_json(),
        caplog.text,
        *capfd.readouterr(),
    ]
    assert not [text for text in said if CANARY in text]
    database = zenml_store / "local_stores" / "default_zen_store" / "zenml.db"
    assert database.stat().st_mode & 0o077 == 0, "what holds them is for its owner alone"
    hidden = [CANARY.encode(), base64.b64encode(CANARY.encode())[:-2]]
    for path in (one for root in (zenml_store, folder) for one in root.rglob("*") if one.is_file()):
        assert path == database or not any(part in path.read_bytes() for part in hidden), path


def test_the_component_has_them_all_the_same_and_teardown_takes_them_along(
    zenml_store: Path, stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zenml.client import Client

    folder = planted(stack_file, monkeypatch, "kept")
    apply_stack("kept", activate=False, folder=folder)
    monkeypatch.delenv("S3_KEY")  # who runs on it needs none of them
    config: Any = _artifact_store("kept")
    assert (config.key, config.secret) == (f"{CANARY}-S3_KEY", f"{CANARY}-S3_SECRET")
    assert Client().get_stack("kept").components
    removed = teardown_stack("kept", folder=folder)
    assert "removed secret artifact_store_kept_s3" in removed
    assert not [one.name for one in Client().list_secrets().items if "kept" in one.name]


def _artifact_store(stack: str) -> Any:
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.stack import StackComponent

    (found,) = Client().get_stack(stack).components[StackComponentType.ARTIFACT_STORE]
    return StackComponent.from_model(found).config


@pytest.mark.parametrize(
    ("within", "told"),
    [
        ({"aws_secret_access_key": CANARY}, "'client_kwargs.aws_secret_access_key' is a secret by its name"),
        ({"aws_session_token": "{{login.token}}"}, "by its name, and ZenML fills in no reference there"),
        ({"headers": [{"Authorization": CANARY}]}, "'client_kwargs.headers.Authorization' is a secret"),
        ({"env": [{"name": "DB_PASSWORD", "value": CANARY}]}, "'client_kwargs.env.DB_PASSWORD' is a secret"),
        (
            {"env": [{"name": "AZURE_STORAGE_CONNECTION_STRING", "value": f"AccountKey={CANARY}"}]},
            "'client_kwargs.env.AZURE_STORAGE_CONNECTION_STRING' is a secret",
        ),
        (
            {"proxies": [f"http://me:{CANARY}@127.0.0.1:1"]},
            "address in 'client_kwargs.proxies' holds a password",
        ),
        (
            {"log": f"postgresql://db/log?password={CANARY}"},
            "address in 'client_kwargs.log' holds a password",
        ),
    ],
)
def test_a_secret_within_a_setting_is_refused(zenml_store: Path, within: dict[str, Any], told: str) -> None:
    from zenml.integrations.s3.flavors import S3ArtifactStoreConfig

    filled = {"path": "s3://zenml", "client_kwargs": within}
    with pytest.raises(StackError, match=re.escape(told)) as raised:
        refuse_in_clear(S3ArtifactStoreConfig, filled, filled, "a stack")
    assert CANARY not in str(raised.value)
    if "by its name" in str(raised.value):
        assert "of its own: key, secret, token" in str(raised.value)


def test_a_password_in_the_prediction_logs_address_is_refused(stack_file: StackWriter) -> None:
    for given in (
        f"postgresql://me:{CANARY}@db/log",
        f"${{LOG:-postgresql://me:{CANARY}@db/log}}",
        f"postgresql://me:${{PASSWORD:-{CANARY}}}@db/log",
        f"postgresql://db/log?user=me&password={CANARY}",
        f"postgresql://db/log?password=${{PASSWORD:-{CANARY}}}&user=me",
        f"postgresql://${{USER:-me}}:{CANARY}@db/log",
        f"postgresql://${{LOGIN:-me:{CANARY}}}@db/log",
    ):
        folder = stack_file("logging", {"predictions": given})
        with pytest.raises(StackError, match="`predictions` must hold no password") as raised:
            read_stack("logging", folder)
        assert CANARY not in str(raised.value)
    for given in (
        "${LOG:-postgresql://me:${PASSWORD}@db/log}",
        "postgresql://me:${DB_PASSWORD:-${POSTGRES_PASSWORD}}@db/log",
        "${LOG:-postgresql://db/log?user=me&password=${PASSWORD}}",
        "postgresql://${DB_USER:-accidents}:${DB_PASSWORD}@db/log",
        "postgresql://${DB_USER:-accidents}@db/log",
    ):
        folder = stack_file("logging", {"predictions": given})
        assert read_stack("logging", folder).predictions == given


def test_what_only_sounds_like_a_secret_is_taken(zenml_store: Path) -> None:
    from zenml.integrations.s3.flavors import S3ArtifactStoreConfig

    within = {
        "tolerations": [{"key": "dedicated", "value": "models"}],
        "topology_key": "kubernetes.io/hostname",
        "secret_name": "login",
        "automount_service_account_token": False,
    }
    filled = {"path": "s3://zenml", "secret": "{{login.secret}}", "client_kwargs": within}
    refuse_in_clear(S3ArtifactStoreConfig, filled, filled, "a stack")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            {"path": "s3://zenml", "secret": CANARY, "key": "${HOME}"},
            "'secret' is a secret, and stands in the file",
        ),
        (
            {"path": "s3://zenml", "client_kwargs": {"endpoint_url": f"http://me:{CANARY}@127.0.0.1:1"}},
            "the address in 'client_kwargs.endpoint_url' holds a password",
        ),
        (
            {"path": "s3://zenml", "client_kwargs": f'{{"aws_secret_access_key": "{CANARY}"}}'},
            "'client_kwargs.aws_secret_access_key' is a secret by its name",
        ),
        ({"path": "s3://zenml", "key": "${NOT_SET_HERE}"}, "NOT_SET_HERE, which is not set"),
    ],
)
def test_a_secret_in_clear_is_refused_and_not_repeated_and_nothing_is_registered(
    zenml_store: Path, stack_file: StackWriter, config: dict[str, Any], told: str
) -> None:
    from zenml.client import Client

    before = {one.name for one in Client().list_stack_components(size=500).items}
    folder = stack_file(
        "open",
        data_validator={"flavor": "evidently_modern"},
        artifact_store={"flavor": "s3", "config": config},
    )
    with pytest.raises(StackError, match=told.replace(".", r"\.")) as raised:
        apply_stack("open", folder=folder)
    assert CANARY not in str(raised.value)
    assert {one.name for one in Client().list_stack_components(size=500).items} == before
    assert not Client().list_stacks(name="open").items
