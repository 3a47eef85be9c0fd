# SPDX-License-Identifier: MIT
"""What every BlobStore promises, over a folder, a folder on another filesystem, and an object store."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from mailserver.store import blobs as blobs_module
from mailserver.store.blobs import BlobStore, LocalBlobs
from mailserver.store.s3 import S3Blobs
from tests.support.filings import make_body, make_spooled

DATA = b"0123456789" * 20_000


@pytest.fixture(scope="module")
def object_store() -> Iterator[str]:
    """The address of an S3 server on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "no links", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    if request.param == "s3":
        return open_s3(request.getfixturevalue("object_store"), tmp_path, monkeypatch)
    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse_to_link)
    return LocalBlobs(tmp_path / "blobs")


def open_s3(endpoint: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> S3Blobs:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    bucket = folder.name.replace("_", "-")[-60:].strip("-")
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
    return S3Blobs.from_url(f"s3://{bucket}/mail/bodies?endpoint={endpoint}&region=us-east-1", folder / "cache")


def refuse_to_link(source: Path, target: Path) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def test_what_was_kept_can_be_read(blobs: BlobStore, tmp_path: Path) -> None:
    spooled = make_spooled(DATA, tmp_path / "spool")
    names = [blobs.keep(make_body(DATA)), blobs.keep(spooled), blobs.keep(spooled)]
    assert len(set(names)) == 3
    assert [blobs.path(name).read_bytes() for name in names] == [DATA] * 3
    assert blobs.path(names[0]).read_bytes() == DATA
    assert spooled.path is not None
    assert spooled.path.exists()


def test_a_body_outlives_its_spool_file(blobs: BlobStore, tmp_path: Path) -> None:
    spooled = make_spooled(DATA, tmp_path / "spool")
    name = blobs.keep(spooled)
    assert spooled.path is not None
    spooled.path.unlink()
    assert blobs.path(name).read_bytes() == DATA


def test_deleting_twice_is_deleting(blobs: BlobStore) -> None:
    name, other = blobs.keep(make_body(DATA)), blobs.keep(make_body(DATA))
    blobs.path(name)
    blobs.delete(name)
    blobs.delete(name)
    assert [blob.name for blob in blobs.list_kept()] == [other]
    with pytest.raises(OSError):
        blobs.path(name).open()


def test_what_is_kept_is_listed_with_its_age(blobs: BlobStore, tmp_path: Path) -> None:
    assert list(blobs.list_kept()) == []
    spooled = make_spooled(DATA, tmp_path / "spool")
    assert spooled.path is not None
    os.utime(spooled.path, (0, 0))
    names = {blobs.keep(spooled), blobs.keep(make_body(DATA))}
    kept = list(blobs.list_kept())
    assert {blob.name for blob in kept} == names
    assert all(abs(datetime.now(UTC) - blob.kept) < timedelta(minutes=1) for blob in kept)


def test_tidying_leaves_what_is_kept(blobs: BlobStore) -> None:
    name = blobs.keep(make_body(DATA))
    blobs.path(name)
    assert blobs.tidy(datetime.now(UTC) - timedelta(hours=1)) == 0
    blobs.tidy(datetime.now(UTC) + timedelta(hours=1))
    assert blobs.path(name).read_bytes() == DATA


def test_a_copy_that_was_never_finished_is_tidied(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    name = blobs.keep(make_body(DATA))
    torn = blobs.path(name).with_name("f" * 32 + ".new")
    torn.write_bytes(b"half")
    assert [blob.name for blob in blobs.list_kept()] == [name]
    assert blobs.tidy(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert not torn.exists()


def test_a_cached_copy_goes_when_it_is_not_used(
    object_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = open_s3(object_store, tmp_path, monkeypatch)
    path = blobs.path(blobs.keep(make_body(DATA)))
    assert blobs.tidy(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert not path.exists()


def test_an_object_store_that_is_away_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr("mailserver.store.s3.ATTEMPTS", 1)
    blobs = S3Blobs.from_url("s3://bucket?endpoint=http://127.0.0.1:9&region=us-east-1", tmp_path / "cache")
    for action in (lambda: blobs.keep(make_body(DATA)), lambda: blobs.path("x"), lambda: list(blobs.list_kept())):
        with pytest.raises(OSError):
            action()


def test_an_address_without_a_bucket_is_refused_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="s3://bucket/prefix"):
        S3Blobs.from_url("s3://", tmp_path)


def test_folder_left_by_a_process_that_died_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was made, and perhaps never synced: a power cut would take it with the body in it."""
    synced: list[Path] = []
    monkeypatch.setattr(blobs_module, "sync_directory", synced.append)
    monkeypatch.setattr(blobs_module, "new_name", lambda: "ab" * 16)
    folder = tmp_path / "blobs"
    (folder / "ab").mkdir(parents=True)
    LocalBlobs(folder).keep(make_body(DATA))
    assert synced == [folder, folder / "ab"]


def test_folders_are_made_durable_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(blobs_module, "sync_directory", synced.append)
    names = iter(["ab" + "0" * 30, "ab" + "1" * 30])
    monkeypatch.setattr(blobs_module, "new_name", lambda: next(names))
    folder = tmp_path / "blobs"
    blobs = LocalBlobs(folder)
    blobs.keep(make_body(DATA))
    blobs.keep(make_body(DATA))
    assert synced == [tmp_path, folder, folder / "ab", folder / "ab"]
