# SPDX-License-Identifier: MIT
"""The group commit: one thread that writes the units of a whole process, many in one transaction (design section 4).

Whatever has queued up while the last transaction was written makes the next one, so the price of a commit is shared by
all who wait for it, and a lone unit waits for nobody. A unit that fails does so alone. What is in a batch, `batch.py`
knows; here is when it is written, and what is said to whom when it cannot be.

Large bodies are kept before their unit joins the queue, by a small pool of threads: their sync would hold up everybody.
So units are written in the order of submission only when each is awaited before the next.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from django.db import InterfaceError, OperationalError, connection, transaction

from mailserver import notices
from mailserver.database import translate
from mailserver.errors import Kind, MailError
from mailserver.store.batch import Prepared, Written, write_batch
from mailserver.store.blobs import BlobStore
from mailserver.store.disk import storage_error
from mailserver.store.interface import Alteration, Unit, UnitResult
from mailserver.values import MEMORY_BODY_BYTES, Body

logger = logging.getLogger(__name__)

MAX_UNITS = 200
"""More in one transaction saves next to nothing, and the first of them waits for the last."""
MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Bodies that a transaction holds in memory, apart from its first unit's."""
BLOB_THREADS = 4
"""They wait for the disk, not for the processor."""
SQLITE_PAUSE_SECONDS = 0.001
"""Between commits, so that other processes get their turn: SQLite lets whoever asks first in, and each asks about once
in a millisecond (`mailserver/project/sqlite`)."""
TRY_AGAIN = frozenset({"40001", "40P01"})
"""PostgreSQL's serialization failure and deadlock."""


@dataclass(slots=True)
class _Job:
    """A unit on its way, and who waits for it."""

    unit: Unit
    future: Future[UnitResult]
    blobs: tuple[str, ...]

    @property
    def prepared(self) -> Prepared:
        return Prepared(self.unit, self.blobs)

    @property
    def memory_bytes(self) -> int:
        return sum(filing.content.body.size for filing in self.unit.filings if filing.content.body.path is None)


class _CommitUnknown(Exception):
    """The connection was lost, or the disk failed, while committing: perhaps it is written, perhaps not."""

    def __init__(self, failure: MailError) -> None:
        super().__init__(str(failure))
        self.failure = failure


class GroupWriter:
    """Writes units. `submit` may be called from any thread; the writer's own thread starts with the first unit."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._keepers = ThreadPoolExecutor(BLOB_THREADS, thread_name_prefix="store-blobs")
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()
        self._closed = False
        self._listeners: list[Callable[[Sequence[Alteration]], None]] = []

    def watch(self, listener: Callable[[Sequence[Alteration]], None]) -> None:
        """As `MailStore.watch` promises."""
        self._listeners.append(listener)

    def submit(self, unit: Unit) -> Future[UnitResult]:
        """As `MailStore.submit` promises."""
        future: Future[UnitResult] = Future()
        with self._mutex:
            if self._closed:
                future.set_exception(MailError(Kind.UNAVAILABLE, "the store is closed"))
                return future
            self._start()
            if any(is_large(filing.content.body) for filing in unit.filings):
                self._keepers.submit(self._keep_bodies, unit, future)
            else:
                self._queue.put(_Job(unit, future, ("",) * len(unit.filings)))
        return future

    def close(self) -> None:
        """Write what has been submitted, then stop. May be called twice."""
        with self._mutex:
            self._closed = True
        self._keepers.shutdown(wait=True)
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
            self._thread.start()

    # ------------------------------------------------------------ bodies

    def _keep_bodies(self, unit: Unit, future: Future[UnitResult]) -> None:
        """In a thread of the pool: make the large bodies durable, then let the unit join the queue."""
        names: list[str] = []
        try:
            for filing in unit.filings:
                large = is_large(filing.content.body)
                names += [self._blobs.keep(filing.content.body) if large else ""]
        except Exception as error:  # noqa: BLE001 - somebody waits for the future, whatever happens here
            self._drop_blobs(names)
            if future.set_running_or_notify_cancel():
                future.set_exception(_blob_error(error))
        else:
            self._queue.put(_Job(unit, future, tuple(names)))

    def _drop_blobs(self, names: Iterable[str]) -> None:
        """Their row was not written; what cannot be removed now, housekeeping finds."""
        for name in filter(None, names):
            try:
                self._blobs.delete(name)
            except OSError as error:
                logger.warning("body %s stays until housekeeping: %s", name, error)

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        while self._write_next():
            if connection.vendor == "sqlite" and not self._queue.empty():
                time.sleep(SQLITE_PAUSE_SECONDS)
        connection.close()

    def _write_next(self) -> bool:
        """Write one batch; False once the store is closed and nothing is left."""
        jobs = self._take()
        live = []
        for job in jobs:
            if job.future.set_running_or_notify_cancel():
                live.append(job)
            else:
                self._drop_blobs(job.blobs)
        if live:
            self._write_surely(live)
        return bool(jobs)

    def _write_surely(self, jobs: Sequence[_Job]) -> None:
        """Whatever happens, everybody gets an answer and the thread lives on: nothing is filed without it."""
        try:
            self._write(jobs)
        except Exception as error:  # a writer that is dead would let every delivery hang
            logger.exception("our bug in the group commit")
            _fail([job for job in jobs if not job.future.done()], MailError(Kind.INTERNAL, str(error)))

    def _take(self) -> list[_Job]:
        """Wait for a unit, then take what else has come, within bounds; nothing once the store is closed."""
        first = self._queue.get()
        jobs = [] if first is None else [first]
        room = MAX_BATCH_BYTES
        while first is not None and len(jobs) < MAX_UNITS and room > 0:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is None:
                self._queue.put(None)
                break
            jobs.append(job)
            room -= job.memory_bytes
        return jobs

    def _write(self, jobs: Sequence[_Job]) -> None:
        """Every job's future is done on return."""
        try:
            written = _commit([job.prepared for job in jobs])
        except _CommitUnknown as error:
            _fail(jobs, error.failure)  # The bodies stay: their rows may be there.
        except MailError as error:
            self._drop(jobs, error)
        except Exception as error:  # noqa: BLE001 - one unit that no database takes must not fail the others, nor end the thread
            self._write_alone(jobs, error)
        else:
            self._complete(jobs, written)

    def _write_alone(self, jobs: Sequence[_Job], error: Exception) -> None:
        """Something in the batch cannot be written: find out which unit it is by writing each by itself."""
        if len(jobs) > 1:
            for job in jobs:
                self._write([job])
            return
        logger.error("a unit could not be written", exc_info=error)
        self._drop(jobs, MailError(Kind.INTERNAL, str(error)))

    def _drop(self, jobs: Iterable[_Job], error: MailError) -> None:
        for job in jobs:
            self._drop_blobs(job.blobs)
        _fail(jobs, error)

    def _complete(self, jobs: Sequence[_Job], written: Written) -> None:
        """Listeners first: who waits for a unit finds everything that keeps a picture right."""
        if written.alterations:
            for tell in self._listeners:
                tell(written.alterations)
        for job, outcome in zip(jobs, written.outcomes, strict=True):
            if isinstance(outcome, MailError):
                self._drop([job], outcome)
            else:
                _take_over_spool_files(job)
                job.future.set_result(outcome)
        notices.publish(written.topics)


def is_large(body: Body) -> bool:
    """Whether a body goes to the blob store: those in files, and what is too big for a row."""
    return body.path is not None or body.size > MEMORY_BODY_BYTES


def _blob_error(error: Exception) -> MailError:
    if isinstance(error, OSError):
        return storage_error(error)
    logger.error("a body could not be kept", exc_info=error)
    return MailError(Kind.INTERNAL, str(error))


def _fail(jobs: Iterable[_Job], error: MailError) -> None:
    for job in jobs:
        job.future.set_exception(MailError(error.kind, error.note))


def _take_over_spool_files(job: _Job) -> None:
    """The body is in the blob store under its own name; the spool's name for it goes."""
    for filing, blob in zip(job.unit.filings, job.blobs, strict=True):
        if blob and filing.content.body.path is not None:
            with contextlib.suppress(OSError):  # It has not been lost, and housekeeping finds it.
                filing.content.body.path.unlink(missing_ok=True)


def _commit(batch: Sequence[Prepared]) -> Written:
    """Write and commit; raises MailError for a failure of the database, with nothing written.

    A connection that died since the last batch, and a deadlock, are worth one more try. Raises _CommitUnknown when
    nobody can tell whether the commit has happened.
    """
    was_open = connection.connection is not None
    try:
        return _commit_once(batch)
    except (OperationalError, InterfaceError) as error:
        sql_state = getattr(error.__cause__, "sqlstate", None)
        connection.close()
        may_have_died = was_open and connection.vendor != "sqlite"
        if not (may_have_died or sql_state in TRY_AGAIN):
            raise translate(error) from error
    try:
        return _commit_once(batch)
    except (OperationalError, InterfaceError) as error:
        connection.close()
        raise translate(error) from error


def _commit_once(batch: Sequence[Prepared]) -> Written:
    committing = False
    try:
        with transaction.atomic():
            written = write_batch(batch)
            committing = True
    except (OperationalError, InterfaceError) as error:
        if committing:
            connection.close()
            raise _CommitUnknown(translate(error)) from error
        raise
    return written
