# SPDX-License-Identifier: MIT
"""Large bodies in an object store that speaks S3, for installations of several machines without a shared disk.

`PILLARBOX_BLOBS=s3://bucket/prefix?endpoint=https://host:port&region=name`; credentials come the way boto3 finds them
(environment, profile, instance). Needs the extra `s3`. An upload is durable when the object store has answered.

Readers want a file to stream from: a body is fetched whole into `cache` and stays there while it is in use, so that
several sessions, or one that reads a message in many parts, fetch it once.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from mailserver.store.blobs import KeptBlob, new_name
from mailserver.values import Body

CONNECT_SECONDS = 5
READ_SECONDS = 30
ATTEMPTS = 3


class S3Blobs:
    """A BlobStore over one bucket; every failure is an OSError, as of a disk."""

    def __init__(self, client: Any, bucket: str, prefix: str, cache: Path) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._cache = cache

    @classmethod
    def from_url(cls, url: str, cache: Path) -> S3Blobs:
        """Raises SystemExit with a plain sentence for an address that names no bucket."""
        parts = urlsplit(url)
        if not parts.netloc:
            raise SystemExit(f"PILLARBOX_BLOBS must look like s3://bucket/prefix, not {url}")
        options = dict(parse_qsl(parts.query))
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"max_attempts": ATTEMPTS, "mode": "standard"},
        )
        client = boto3.client(
            "s3", endpoint_url=options.get("endpoint"), region_name=options.get("region"), config=config
        )
        prefix = parts.path.strip("/")
        return cls(client, parts.netloc, f"{prefix}/" if prefix else "", cache)

    def keep(self, body: Body) -> str:
        name = new_name()
        with _as_os_error():
            if body.path is not None:
                self._client.upload_file(str(body.path), self._bucket, self._prefix + name)
            else:
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=body.data)
        return name

    def path(self, name: str) -> Path:
        """The cached copy, fetched when there is none; its time tells `tidy` when it was last asked for."""
        path = self._cache / name
        try:
            os.utime(path)
        except FileNotFoundError:
            self._fetch(name, path)
        return path

    def delete(self, name: str) -> None:
        with _as_os_error():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)
        (self._cache / name).unlink(missing_ok=True)

    def list_kept(self) -> Iterator[KeptBlob]:
        with _as_os_error():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            for page in pages:
                for found in page.get("Contents", ()):
                    yield KeptBlob(found["Key"].removeprefix(self._prefix), found["LastModified"])

    def tidy(self, before: datetime) -> int:
        """Cached copies that nobody has asked for since."""
        if not self._cache.is_dir():
            return 0
        old = [path for path in self._cache.iterdir() if path.stat().st_mtime < before.timestamp()]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _fetch(self, name: str, path: Path) -> None:
        """Under a name of its own first: two sessions may fetch it at once, and neither sees half of it."""
        self._cache.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{name}.{secrets.token_hex(4)}")
        try:
            with _as_os_error():
                self._client.download_file(self._bucket, self._prefix + name, str(new))
            new.rename(path)
        finally:
            new.unlink(missing_ok=True)


@contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise OSError(str(error)) from error
