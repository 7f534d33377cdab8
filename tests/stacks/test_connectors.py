"""Service connectors of stack files: made, put right, taken away; wrong ones told; no secret shown."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.apply import apply_stack
from stacks.check import check_stack
from stacks.errors import StackError
from stacks.teardown import teardown_stack
from tests.oauth_stand_in import running_token_server
from tests.processes import free_port
from tests.stacks.conftest import StackWriter
from tests.zenml_store import ROOT, isolated_environment

CANARY = "canary-51d0b7ae"
LOGIN = {
    "region": "eu-west-3",
    "aws_access_key_id": "${TEST_KEY}",
    "aws_secret_access_key": "${TEST_SECRET}",
}
CONNECTOR = {"type": "aws", "auth_method": "secret-key", "connects": ["artifact_store"], "config": LOGIN}
STORE = {"flavor": "s3", "config": {"path": "s3://zenml"}}
NUMBER = "11111111-2222-3333-4444-{:012d}"
CLOUDS = {
    "KUBERNETES_CONTEXT": "nowhere",
    "MLFLOW_SERVER": "http://127.0.0.1:9",
    "AWS_REGION": "eu-west-3",
    "AWS_BUCKET": "zenml",
    "AWS_REGISTRY": "123456789012.dkr.ecr.eu-west-3.amazonaws.com",
    "GCP_BUCKET": "zenml",
    "GCP_REGISTRY": "europe-west1-docker.pkg.dev/accidents/accidents",
    "AZURE_CONTAINER": "zenml",
    "AZURE_RESOURCE_GROUP": "accidents",
    "AZURE_STORAGE_ACCOUNT": "accidents",
    "AZURE_REGISTRY": "accidents.azurecr.io",
    "AZURE_TENANT_ID": NUMBER.format(1),
    "AZURE_CLIENT_ID": NUMBER.format(2),
    "AZURE_SUBSCRIPTION_ID": NUMBER.format(3),
}
SECRETS = ("MLFLOW_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AZURE_CLIENT_SECRET")


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", f"{CANARY}-key")
    monkeypatch.setenv("TEST_SECRET", f"{CANARY}-secret")


def connectors() -> dict[str, Any]:
    """Names and settings, secrets too."""
    from zenml.client import Client

    found = Client().list_service_connectors(hydrate=True, expand_secrets=True).items
    return {one.name: one.configuration.plain for one in found}


def connected(stack: str, kind: str = "artifact_store") -> str | None:
    from zenml.client import Client
    from zenml.enums import StackComponentType

    (component,) = Client().get_stack(stack).components[StackComponentType(kind)]
    (hydrated,) = Client().list_stack_components(id=component.id, hydrate=True).items
    return hydrated.connector.name if hydrated.connector else None


def test_it_is_made_put_right_and_taken_away_with_its_stack(
    zenml_store: Path, stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zenml.client import Client
    from zenml.enums import StackComponentType

    folder = stack_file("clouded", {"connector": CONNECTOR}, artifact_store=STORE)
    name = "clouded_aws_secret-key"
    made = apply_stack("clouded", activate=False, folder=folder).changes
    assert f"created connector {name}" in made
    assert f"connected artifact_store clouded_s3 by {name}" in made
    assert connectors()[name]["aws_secret_access_key"] == f"{CANARY}-secret"
    assert connected("clouded") == name
    assert apply_stack("clouded", activate=False, folder=folder).changes == ()

    Client().update_stack_component("clouded_s3", StackComponentType.ARTIFACT_STORE, disconnect=True)
    monkeypatch.setenv("TEST_SECRET", f"{CANARY}-another")
    assert apply_stack("clouded", activate=False, folder=folder).changes == (
        f"updated connector {name}: aws_secret_access_key",
        f"connected artifact_store clouded_s3 by {name}",
    )
    assert connectors()[name]["aws_secret_access_key"] == f"{CANARY}-another"

    monkeypatch.setenv("TEST_TOKEN", f"{CANARY}-token")
    other = CONNECTOR | {"auth_method": "sts-token", "config": LOGIN | {"aws_session_token": "${TEST_TOKEN}"}}
    stack_file("clouded", {"connector": other}, artifact_store=STORE)
    changes = apply_stack("clouded", activate=False, folder=folder).changes
    assert changes[:3] == (
        "created connector clouded_aws_sts-token",
        "connected artifact_store clouded_s3 by clouded_aws_sts-token",
        f"removed connector {name}",
    )
    stack_file("clouded", artifact_store=STORE)
    changes = apply_stack("clouded", activate=False, folder=folder).changes
    assert changes[:2] == (
        "disconnected artifact_store clouded_s3",
        "removed connector clouded_aws_sts-token",
    )
    assert connected("clouded") is None
    stack_file("clouded", {"connector": CONNECTOR}, artifact_store=STORE)
    apply_stack("clouded", activate=False, folder=folder)
    assert f"removed connector {name}" in teardown_stack("clouded", folder=folder)
    assert name not in connectors()
    assert not [one.name for one in Client().list_secrets(size=500).items if "clouded" in one.name]


def test_one_that_a_component_still_needs_stays(zenml_store: Path, stack_file: StackWriter) -> None:
    folder = stack_file("lending", {"connector": CONNECTOR}, artifact_store=STORE)
    apply_stack("lending", activate=False, folder=folder)
    stack_file("borrowing", artifact_store=STORE | {"name": "lending_s3"})
    plain = {"orchestrator": {"flavor": "local"}, "artifact_store": STORE | {"name": "lending_s3"}}
    extra = {"connector": CONNECTOR | {"config": LOGIN}, "components": plain}
    stack_file("borrowing", extra)
    apply_stack("borrowing", activate=False, folder=folder)
    assert connected("lending") == "borrowing_aws_secret-key"
    told = teardown_stack("borrowing", folder=folder)
    assert "kept connector borrowing_aws_secret-key: lending_s3 needs it" in told
    teardown_stack("lending", folder=folder)


def test_a_setting_may_come_from_a_secret_of_zenmls_or_be_left_out(
    zenml_store: Path, stack_file: StackWriter
) -> None:
    from zenml.client import Client

    Client().create_secret("of-a-person", {"secret": f"{CANARY}-kept"})
    config = LOGIN | {
        "aws_secret_access_key": "{{of-a-person.secret}}",
        "endpoint_url": "${TEST_NOT_SET:-}",
    }
    folder = stack_file("referring", {"connector": CONNECTOR | {"config": config}}, artifact_store=STORE)
    apply_stack("referring", activate=False, folder=folder)
    made = connectors()["referring_aws_secret-key"]
    assert made["aws_secret_access_key"] == f"{CANARY}-kept"
    assert not made.get("endpoint_url")
    assert apply_stack("referring", activate=False, folder=folder).changes == ()
    teardown_stack("referring", folder=folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "x"}, ["connector.name", "valid keys here: auth_method, config, connects, type"]),
        ({"auth_methd": "x"}, ["connector.auth_methd", "did you mean `auth_method`"]),
        ({"connects": []}, ["connector.connects", "at least 1"]),
        ({"type": "awz"}, ["'awz' is not a type of connector", "Did you mean 'aws'"]),
        ({"auth_method": "secret-keys"}, ["'secret-keys' is not a method", "Did you mean 'secret-key'"]),
        ({"connects": ["artifact_stor"]}, ["no 'artifact_stor'", "Did you mean 'artifact_store'"]),
        ({"connects": ["orchestrator"]}, ["orchestrator of flavor 'local' takes no connector"]),
        ({"config": LOGIN | {"regio": "x"}}, ["'regio' is not a setting", "Did you mean 'region'"]),
        ({"config": {"region": "x"}}, ["aws_access_key_id: Field required"]),
        ({"config": LOGIN | {"aws_secret_access_key": CANARY}}, ["is a secret, and stands in the file"]),
        ({"config": LOGIN | {"region": "${TEST_NOT_SET}"}}, ["TEST_NOT_SET, which is not set"]),
        (
            {"config": LOGIN | {"aws_secret_access_key": "{{nobodys.key}}"}},
            ["no secret 'nobodys' with a key 'key'"],
        ),
    ],
)
def test_a_wrong_one_is_told_and_nothing_is_made(
    zenml_store: Path, stack_file: StackWriter, change: dict[str, Any], words: list[str]
) -> None:
    from zenml.client import Client

    folder = stack_file("wrong", {"connector": CONNECTOR | change}, artifact_store=STORE)
    with pytest.raises(StackError) as raised:
        apply_stack("wrong", activate=False, folder=folder)
    assert not [word for word in [*words, "wrong"] if word not in str(raised.value)], raised.value
    assert CANARY not in str(raised.value)
    assert not Client().list_stacks(name="wrong").items
    assert not Client().list_stack_components(name="wrong_s3").items
    assert not [name for name in connectors() if name.startswith("wrong")]


def test_a_cloud_that_is_not_reached_is_told_in_a_sentence(
    zenml_store: Path, stack_file: StackWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    registry = {"flavor": "aws", "config": {"uri": CLOUDS["AWS_REGISTRY"]}}
    both = CONNECTOR | {"connects": ["artifact_store", "container_registry"]}
    folder = stack_file("far", {"connector": both}, artifact_store=STORE, container_registry=registry)
    apply_stack("far", activate=False, folder=folder)
    found = {finding.what: finding for finding in check_stack("far", folder)}
    assert found["connector"].words == "type aws is installed and method secret-key takes these settings"
    for what in ("artifact_store far_s3", "container_registry far_aws"):
        assert not found[what].well
        assert found[what].words.startswith("Its service connector does not reach the cloud from here. Run ")
        assert "\n" not in found[what].words
    assert CANARY not in str(found)
    teardown_stack("far", folder=folder)


@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
def test_a_clouds_file_is_applied_without_asking_it_and_no_secret_is_shown(
    zenml_store: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    cloud: str,
) -> None:
    from zenml.client import Client

    for variable, value in {**CLOUDS, **{name: f"{CANARY}-{name}" for name in SECRETS}}.items():
        monkeypatch.setenv(variable, value)
    with running_token_server() as tokens:
        monkeypatch.setenv("GCP_SERVICE_ACCOUNT_JSON", tokens.key)
        said = [*apply_stack(cloud, activate=False).changes]
        assert apply_stack(cloud, activate=False).changes == ()
        assert not tokens.asked
    (name,) = (one for one in connectors() if one.startswith(f"{cloud}_"))
    assert {connected(cloud), connected(cloud, "container_registry")} == {name}
    stack = Client().get_stack(cloud)
    said += [yaml.safe_dump(stack.to_yaml()), stack.model_dump_json(), caplog.text, *capfd.readouterr()]
    said += [one.model_dump_json() for one in Client().list_service_connectors(hydrate=True).items]
    assert not [text for text in said if CANARY in text or tokens.private in text]
    database = zenml_store / "local_stores" / "default_zen_store" / "zenml.db"
    assert database.stat().st_mode & 0o077 == 0, "what holds them is for its owner alone"
    hidden = [CANARY.encode(), base64.b64encode(CANARY.encode())[:-2], tokens.private.encode()]
    for path in (one for one in zenml_store.rglob("*") if one.is_file()):
        assert path == database or not any(part in path.read_bytes() for part in hidden), path
    told = teardown_stack(cloud)
    assert f"removed connector {name}" in told
    assert not [one.name for one in Client().list_secrets(size=500).items if one.name.startswith(cloud)]


WITHOUT = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("adlfs", "gcsfs") or name.startswith(("azure.", "google.cloud")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
sys.path.insert(0, "")
import run
for words in sys.argv[1:]:
    print(f"{words}: ended with {run.cli(words.split())}", flush=True)
"""


@pytest.mark.slow
def test_without_a_clouds_clients_it_is_told_what_to_install(tmp_path: Path) -> None:
    settings = CLOUDS | dict.fromkeys((*SECRETS, "GCP_SERVICE_ACCOUNT_JSON"), "x")
    words = [f"stack {verb} {cloud}" for cloud in ("azure", "gcp") for verb in ("check", "apply")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words],
        cwd=ROOT,
        env=isolated_environment(tmp_path) | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if "ended with" in line] == [
        f"{each}: ended with 1" for each in words
    ]
    for cloud in ("azure", "gcp"):
        needed = f"connector of stack {cloud}: type '{cloud}' needs a package that is not installed"
        assert said.count(needed) == 2
        assert f"make {cloud}" in said
