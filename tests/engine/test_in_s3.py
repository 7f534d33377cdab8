"""Partitions in S3: what workers read and write there is what they read and write in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accidents.bundle import write_bundle
from accidents.data.partition_files import read_manifest, read_together
from accidents.data.sample_partitions import write_partitions
from accidents.data.storage import join, read_frame, read_json
from accidents.features import build_features
from accidents.training import fit_bags
from accidents.training.model_settings import ModelSettings
from accidents.training.split import SplitSettings, split
from engine import preparation, reading, training
from engine.cluster import disconnect_all
from engine.scoring import score_tables
from engine.settings import DaskSettings, LocalWorkers
from engine.splitting import split_rows
from tests.engine.conftest import ON_DASK
from tests.platform_parts import S3_KEY, S3_SECRET, running_s3

pytestmark = [*ON_DASK, pytest.mark.server, pytest.mark.timeout(900)]
YEARS = (2020, 2021, 2022)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("distributed")
    s3fs = pytest.importorskip("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()  # a client keeps the endpoint that it began with
    with running_s3(tmp_path / "s3", "bucket") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield "s3://bucket"
        disconnect_all()
    s3fs.S3FileSystem.clear_instance_cache()


def test_what_is_learnt_and_scored_in_s3_is_what_is_in_a_folder(bucket: str, tmp_path: Path) -> None:
    there, here = join(bucket, "sample"), str(tmp_path / "sample")
    for address in (there, here):
        write_partitions(address, YEARS, accidents=400, processes=1)
    manifest = read_manifest(there)
    assert manifest.parts == read_manifest(here).parts
    dask = DaskSettings(local=LocalWorkers(workers=2, memory_limit="2GiB"), folder=join(bucket, "partitions"))
    tables = preparation.open_tables(manifest, YEARS, dask)
    rows, settings = (
        preparation.build_rows(tables, "dispatch"),
        ModelSettings(bags=2, n_estimators=5, n_jobs=1),
    )
    whole = build_features(read_together(here, manifest.parts)[0], "dispatch")
    pd.testing.assert_frame_equal(reading.rows_at(rows.pieces, None), whole, check_exact=True)

    parts, _ = split_rows(rows, SplitSettings())
    cut = split(whole, SplitSettings(), 7)
    model = training.train(parts["train"], parts["calibration"], settings, "dispatch", 7)
    expected = fit_bags.train(
        *(whole[cut.mask(part)].reset_index(drop=True) for part in ("train", "calibration")),
        settings, "dispatch", 7,
    )  # fmt: skip
    np.testing.assert_array_equal(reading.predicted(model, rows), expected.predict_proba(whole))

    facts = {"name": "small", "stage": "dispatch", "threshold": 0.2}
    bundle = write_bundle(tmp_path / "bundle", model, facts, whole[:100], "# card")
    output = join(bucket, "scored")
    told = score_tables(tables, bundle, "small", "1", "none", output)
    assert read_json(join(output, "manifest.json")) == told
    scored = pd.concat([read_frame(join(output, f"{part['name']}.parquet")) for part in told["parts"]])
    assert len(scored) + told["set_aside"] == len(whole)
    of = dict(zip(whole["accident_id"].astype(str), expected.predict_proba(whole), strict=True))
    np.testing.assert_array_equal(scored["probability"], [of[one] for one in scored["accident_id"]])
