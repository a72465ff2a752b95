"""Escalations that nobody acknowledges are said again, to whom the policy names next.

A notice belongs to whoever has the partition: what is open is read back with it and forgotten with it. Its number is in
its id, so two workers that both believe to have the partition say the same, and readers count it once. While nobody
works, nothing is made up for later: whoever comes next says the one that is due then.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from google.protobuf.message import Message

from multimood import topics
from multimood.bus import Bus, Delivery, Event, Processor, output
from multimood.bus.acks import Limits
from multimood.clock import loop_time, now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety import CrisisPolicy, Handover, Handovers
from multimood.safety.handover import noticed
from multimood.telemetry import Level, meter
from multimood.topics import Topic

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""How often it is looked whether somebody is to be told: that much a notice may be late."""
QUIET_S: Final = 2.0
"""So long after the last record that was read back: in the middle of it an escalation seems to lack what comes next."""

AT_ONCE: Final = 200
"""So many are looked at before anything else may run: with thousands open a crisis must not wait for that."""

_notices = meter().create_counter("multimood.escalation.notices", description="Escalations said again, by level, role")
_open = Level("multimood_escalations_open", "Escalations of this worker's partitions that nobody has acknowledged")
_oldest = Level("multimood_escalations_oldest_seconds", "How long the oldest of them has been open; 0: none is")


class Notices:
    """Around the sentinel's processor: beside its work, says what is due of the handovers that it keeps."""

    def __init__(self, inner: Processor, bus: Bus, handovers: Handovers, policy: CrisisPolicy) -> None:
        self._inner = inner
        self._bus = bus
        self._handovers = handovers
        self._policy = policy
        self._read_back_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._draining = False
        _open.ask(lambda: len(handovers))
        _oldest.ask(lambda: handovers.oldest_s(now_us()))
        self.recovers = inner.recovers
        self.limits: Limits = getattr(inner, "limits", Limits())

    def recover(self, topic: Topic, event: Event[Message]) -> None:
        """See `Processor`. What is followed while it runs does not come this way."""
        self._read_back_at = loop_time()
        self._inner.recover(topic, event)
        self._look_out()

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """See `Processor`. What opens an escalation is followed, so every one comes by here."""
        await self._inner.process(deliveries)
        self._look_out()

    def reset(self) -> None:
        """See `Processor`."""
        self._handovers.clear()
        self._inner.reset()

    async def drain(self, grace_s: float) -> None:
        """See `Processor`. A notice that is not said now is due at the next owner's."""
        self._draining = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._inner.drain(grace_s)

    def _look_out(self) -> None:
        is_looking = self._looking is not None and not self._looking.done()
        if not is_looking and not self._draining and len(self._handovers):
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._ended)

    async def _look(self) -> None:
        while len(self._handovers):
            await asyncio.sleep(LOOK_S)
            if loop_time() - self._read_back_at < QUIET_S:
                continue
            await self._say_what_is_due()

    async def _say_what_is_due(self) -> None:
        epoch = self._handovers.epoch
        for number, key in enumerate(self._handovers.keys(), 1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if self._handovers.epoch != epoch:
                return  # another worker has it, or it is being read back
            # Looked up only now: while another was told of, it may have been closed, or become graver.
            one = self._handovers.due(key, self._policy, now_us())
            if one is not None:
                await self._say(one)

    async def _say(self, handover: Handover) -> None:
        epoch, notice = self._handovers.epoch, noticed(handover, self._policy, now_us())
        await self._bus.emit((output(topics.ESCALATION, notice, f"{handover.id}/{notice.notice}"),), "")
        if self._handovers.epoch != epoch:
            return  # the partition moved meanwhile
        self._handovers.see(notice)
        level = pb.RiskLevel.Name(handover.level)
        _notices.add(1, {"level": level, "role": notice.notify})
        logger.warning(
            "nobody has acknowledged an escalation",
            extra={"escalation_id": handover.id, "risk": level, "notice": notice.notice, "notify": notice.notify},
        )

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._draining:  # nobody would be told any more
            self._bus.crash(error)
