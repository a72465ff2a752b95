"""Taking media away once they are encoded. The store may be away then: what is owed is tried again until it is done.

What is owed is in memory only. After a crash the record comes again and so does its disposal; what slips through even
so (the store away and the process ended) is removed by `multimood erase --expired`.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Collection
from typing import Final, Protocol

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import MultimoodError
from multimood.retention import Retention
from multimood.store.reference import check_reference
from multimood.telemetry import meter

logger = logging.getLogger(__name__)

FIRST_TRY_S: Final = 1.0
PAUSE_S: Final = 5.0
MOST_OWED: Final = 10_000
"""At some 300 bytes each; beyond it the oldest are left to the sweep."""


class Deletes(Protocol):
    """What is needed of `multimood.store.Store`."""

    media_bucket: str

    async def delete(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is removed already. Raises UnavailableError."""


class Disposal:
    """Removes the media that may not be kept after they were encoded."""

    def __init__(self, store: Deletes, retention: Retention, *, pause_s: float = PAUSE_S) -> None:
        self._store = store
        self._retention = retention
        self._pause_s = pause_s
        self._owed: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._count = meter().create_counter("multimood.media.disposed", description="Media removed after encoding")

    async def of(self, context: pb.Context, ref: pb.MediaRef, others: Collection[pb.MediaRef] = ()) -> None:
        """Remove a medium of an utterance if it may not be kept. Takes a second at most, and raises nothing.

        `others`: further media of the utterance. An object that one of them refers to as well is left to the sweep: it
        may not be encoded yet.
        """
        if not ref.key or not self._retention.goes_at_once(context.privacy) or any(o.key == ref.key for o in others):
            return
        try:
            check_reference(
                ref, tenant=context.tenant, limit=max(ref.size_bytes, 1), buckets=(self._store.media_bucket,)
            )
        except MultimoodError:
            return  # a reference that may not be followed is not a thing to delete either
        try:
            async with asyncio.timeout(FIRST_TRY_S):
                await self._remove(ref.bucket, ref.key)
        except (MultimoodError, TimeoutError):
            self._owe(ref.bucket, ref.key)

    async def close(self) -> None:
        """Give up what is owed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._owed:
            logger.warning("media are left to `multimood erase --expired`", extra={"count": len(self._owed)})

    @property
    def owed(self) -> int:
        """Objects that are still to be removed."""
        return len(self._owed)

    def _owe(self, bucket: str, key: str) -> None:
        self._owed[bucket, key] = None
        if len(self._owed) > MOST_OWED:
            self._owed.popitem(last=False)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work_off())

    async def _work_off(self) -> None:
        while self._owed:
            await asyncio.sleep(self._pause_s)
            with contextlib.suppress(MultimoodError):
                for one in list(self._owed):
                    await self._remove(*one)
                    self._owed.pop(one, None)

    async def _remove(self, bucket: str, key: str) -> None:
        await self._store.delete(bucket, key)
        self._count.add(1)
