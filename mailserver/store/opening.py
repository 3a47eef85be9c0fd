# SPDX-License-Identifier: MIT
"""The store as this installation has it, made from Django's settings and the environment.

`PILLARBOX_BLOBS` says where large bodies are: nothing for the data folder, a folder (which several machines may share),
or `s3://bucket/prefix?endpoint=https://...` for an object store.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from mailserver.store.blobs import BlobStore, LocalBlobs
from mailserver.store.database import DatabaseStore


def open_store(process: int | None = None) -> DatabaseStore:
    """The store; `process` is the number of this process's row, for those that lock maildrops."""
    return DatabaseStore(open_blobs(), spool_folder(), process)


def open_blobs() -> BlobStore:
    """Where large bodies are."""
    place = settings.ENVIRONMENT.blobs
    if place.startswith("s3://"):
        from mailserver.store.s3 import S3Blobs  # boto3 is an optional extra of 30 MB: only who asks for it loads it

        return S3Blobs.from_url(place, cache=Path(settings.DATA) / "cache" / "blobs")
    return LocalBlobs(Path(place).resolve() if place else Path(settings.DATA) / "blobs")


def spool_folder() -> Path:
    """Where messages wait while they are received: on the filesystem of the data folder's bodies."""
    return Path(settings.DATA) / "spool"
