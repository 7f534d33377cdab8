"""tests/cluster, as far as no cluster is needed: what its modules share, and what each has for itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import logged_in
from tests.conftest import ROOT
from tests.platform_parts import S3_KEY, S3_SECRET, running_s3


def test_each_module_has_a_namespace_and_a_bucket_of_its_own() -> None:
    """One takes rights away, another has a Secret lead to a server that ends with it."""
    planned = subprocess.run(
        [sys.executable, "-m", "pytest", "--setup-plan", "-p", "no:cacheprovider", "tests/cluster"],
        cwd=ROOT, env={**os.environ, "KUBECONFIG": "none", "CLUSTER_HOST": "none"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert planned.returncode == 0, planned.stdout
    begun = re.findall(r"SETUP +([A-Z]) (cluster|bucket|versions)\b", planned.stdout)
    assert set(begun) == {("M", "cluster"), ("M", "bucket"), ("M", "versions")}
    modules = set(re.findall(r"tests/cluster/(test_\w+)\.py::", planned.stdout))
    assert begun.count(("M", "cluster")) == len(modules) > 1


@pytest.mark.server
def test_a_module_asks_the_bucket_of_its_own(tmp_path: Path) -> None:
    s3fs = pytest.importorskip("s3fs")
    login = {
        "AWS_ACCESS_KEY_ID": S3_KEY,
        "AWS_SECRET_ACCESS_KEY": S3_SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name in ("one", "other"):
        with running_s3(tmp_path / name, name) as server:
            with logged_in({**login, "AWS_ENDPOINT_URL": server.url}):
                assert s3fs.S3FileSystem().ls("") == [name]
            assert os.environ.get("AWS_ENDPOINT_URL") != server.url
