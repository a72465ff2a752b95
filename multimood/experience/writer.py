"""Rows into objects on S3: many callers wait for one write, and each is let go when its row is durable.

An object is read, the waiting rows are merged into it, and it is written back on the condition that nobody else wrote
meanwhile. So nothing is kept between writes that a crash could lose, and a suspended writer can undo nothing. While the
store is away the rows wait in memory, as many as there are callers: whoever calls bounds them.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from multimood.errors import MultimoodError
from multimood.experience.naming import WINDOW
from multimood.experience.schema import Row
from multimood.experience.table import MEDIA_TYPE, DamagedObjectError, Table, merged
from multimood.store.errors import MissingObjectError
from multimood.telemetry import meter

logger = logging.getLogger(__name__)

FLUSH_S: Final = 1.0
WRITES_AT_ONCE: Final = 4
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 5.0
LARGEST_OBJECT: Final = 1 << 30


class ObjectStore(Protocol):
    """What the writer needs of `multimood.store.Store`."""

    async def read_version(self, bucket: str, key: str, *, limit: int) -> tuple[bytes, str]:
        """Read an object and its tag. Raises MissingObjectError, UnavailableError."""

    async def put_version(self, bucket: str, key: str, data: bytes, media_type: str, *, replaces: str) -> None:
        """Write it if its tag is still `replaces`. Raises ChangedObjectError, UnavailableError."""

    async def put(self, bucket: str, key: str, data: bytes, media_type: str) -> object:
        """Write it. Raises UnavailableError."""


@dataclass(slots=True)
class _Open:
    """An object with rows waiting for it."""

    full: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: list[tuple[Row, "asyncio.Future[None]"]] = field(default_factory=list)


class LogWriter:
    """Writes one table of the log.

    An object is written about `flush_s` after its first waiting row, sooner when a whole window waits, and again and
    again until the store has it.
    """

    def __init__(
        self,
        store: ObjectStore,
        bucket: str,
        table: Table,
        *,
        flush_s: float = FLUSH_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._table = table
        self._flush_s = flush_s
        self._longest_pause_s = longest_pause_s
        self._open: dict[str, _Open] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(WRITES_AT_ONCE)
        self._hurried = False
        name = str(table.schema.metadata[b"multimood.table"], "ascii")
        self._labels = {"table": name}
        self._writes = meter().create_counter("multimood.experience.writes", description="Objects written, by table")
        self._rows = meter().create_counter("multimood.experience.rows", description="Rows made durable, by table")
        self._faults = meter().create_counter(
            "multimood.experience.faults", description="Writes that have to be tried again, by table and reason"
        )

    @property
    def waiting(self) -> int:
        """Rows whose callers wait, those of a write that is going on not counted."""
        return sum(len(opened.waiting) for opened in self._open.values())

    async def add(self, key: str, row: Row) -> None:
        """Put a row into the object `key`; returns when it is durable there, however long the store is away.

        Raises what keeps this very row from ever being written.
        """
        opened = self._open.get(key)
        if opened is None:
            opened = self._open[key] = _Open()
            task = asyncio.create_task(self._flush(key, opened))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        waiter = asyncio.get_running_loop().create_future()
        opened.waiting.append((row, waiter))
        if self._hurried or len(opened.waiting) >= WINDOW:
            opened.full.set()
        await waiter

    def hurry(self) -> None:
        """Write from now on without waiting for more rows: the end is near."""
        self._hurried = True
        for opened in self._open.values():
            opened.full.set()

    async def close(self) -> None:
        """Give up what is not durable; its records are not acknowledged and will come again."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _flush(self, key: str, opened: _Open) -> None:
        try:
            while opened.waiting:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._flush_s):  # not wait_for: Python 3.11's may swallow `close`
                        await opened.full.wait()
                opened.full.clear()
                taken, opened.waiting = opened.waiting, []
                await self._write(key, taken)
        finally:
            del self._open[key]

    async def _write(self, key: str, taken: Sequence[tuple[Row, "asyncio.Future[None]"]]) -> None:
        """Write these rows, and tell their callers. A row that cannot be encoded fails alone."""
        try:
            await self._put([row for row, _ in taken], key)
        except Exception as error:  # noqa: BLE001 - a bug in one row must not take the other rows' callers with it
            if len(taken) > 1:
                for one in taken:
                    await self._write(key, [one])
                return
            logger.warning("a row cannot be written", extra={"cause": type(error).__name__, **self._labels})
            _settle(taken[0][1], error)
        else:
            self._rows.add(len(taken), self._labels)
            for _, waiter in taken:
                _settle(waiter)

    async def _put(self, rows: Sequence[Row], key: str) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                async with self._slots:
                    await self._merge(rows, key)
            except MultimoodError as error:
                reason = str(getattr(error, "reason", error.code))
                self._faults.add(1, {"reason": reason, **self._labels})
                logger.warning("a row waits for the store", extra={"reason": reason, "rows": len(rows), **self._labels})
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._longest_pause_s)
            else:
                return

    async def _merge(self, rows: Sequence[Row], key: str) -> None:
        try:
            data, tag = await self._store.read_version(self._bucket, key, limit=LARGEST_OBJECT)
        except MissingObjectError:
            data, tag = b"", ""
        try:
            new = await asyncio.to_thread(merged, data, rows, self._table)
        except DamagedObjectError as error:
            await self._set_aside(key, data, error)
            new = await asyncio.to_thread(merged, b"", rows, self._table)
        if new is not None:
            await self._store.put_version(self._bucket, key, new, MEDIA_TYPE, replaces=tag)
            self._writes.add(1, self._labels)

    async def _set_aside(self, key: str, data: bytes, error: DamagedObjectError) -> None:
        """Keep what cannot be read under another name, where no reader looks for rows."""
        aside = f"{key}.damaged-{hashlib.sha256(data).hexdigest()[:8]}"
        await self._store.put(self._bucket, aside, data, "application/octet-stream")
        self._faults.add(1, {"reason": error.code, **self._labels})
        logger.error("a damaged object of the log was set aside", extra={"object": aside, "reason": str(error)})


def _settle(waiter: "asyncio.Future[None]", error: Exception | None = None) -> None:
    if waiter.done():  # its caller has gone
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
