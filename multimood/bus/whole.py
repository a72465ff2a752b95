"""Topics that are read whole, whatever partitions a worker has: what all of its like must know."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from multimood.bus.tail import Follower
from multimood.errors import UnavailableError
from multimood.settings import KafkaSettings
from multimood.topics import Topic

logger = logging.getLogger(__name__)

PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0


class Whole:
    """Gives every record of some topics to who learns from it: all there are at the start, then those that come.

    What a learner raises goes to `on_error`, for from then on nothing would be learnt.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        learners: Mapping[Topic, Callable[[Any], None]],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._learners = dict(learners)
        self._on_error = on_error
        self._follower: Follower | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when everything that was there has been learnt; waits for the broker if it must."""
        if not self._learners:
            return
        pause = PAUSE_S
        while True:
            follower = Follower(self._settings, tuple(self._learners), since_s=None)
            try:
                await follower.start()
                break
            except UnavailableError as error:
                logger.warning("waiting to read a topic whole", extra={"code": error.code, "reason": str(error)})
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
        self._follower = follower
        self._reading = asyncio.create_task(self._read(follower))
        await follower.caught_up.wait()

    async def stop(self) -> None:
        """Disconnect."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        if self._follower is not None:
            await self._follower.stop()

    async def _read(self, follower: Follower) -> None:
        try:
            async for received in follower:
                self._learners[received.topic](received.message)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not go on unnoticed
            self._on_error(error)
