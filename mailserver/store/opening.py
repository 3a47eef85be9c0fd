# SPDX-License-Identifier: MIT
"""The store as this installation has it, made from Django's settings and the environment.

`PILLARBOX_BLOBS` says where large bodies are: nothing for the data folder, a folder (which several machines may share),
or `s3://bucket/prefix?endpoint=https://...` for an object store.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from django.conf import settings

from mailserver.store.blobs import BlobStore, LocalBlobs
from mailserver.store.database import DatabaseStore


def open_store(process: int | None = None) -> DatabaseStore:
    """The store; `process` is the number of this process's row, for those that lock maildrops."""
    return DatabaseStore(open_blobs(), spool_folder(), process)


def open_blobs() -> BlobStore:
    """Where large bodies are; SystemExit with a plain sentence when that cannot be."""
    place = settings.ENVIRONMENT.blobs
    if place.startswith("s3://"):
        return _open_object_store(place)
    return LocalBlobs(Path(place).resolve() if place else Path(settings.DATA) / "blobs")


def _open_object_store(place: str) -> BlobStore:
    """boto3 is an optional extra, and takes 30 MB of memory: only who asks for it loads it."""
    try:
        s3 = importlib.import_module("mailserver.store.s3")
    except ModuleNotFoundError as error:
        raise SystemExit(f"PILLARBOX_BLOBS is {place}, which needs boto3: install it (pip install boto3)") from error
    blobs: BlobStore = s3.S3Blobs.from_url(place, cache=Path(settings.DATA) / "cache" / "blobs")
    return blobs


def spool_folder() -> Path:
    """Where messages wait while they are received: on the filesystem of the data folder's bodies."""
    return Path(settings.DATA) / "spool"
