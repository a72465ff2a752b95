"""Notices around the sentinel's processor: not while a partition is read back, and never silently no more."""

import asyncio
from collections.abc import Sequence

import pytest
from google.protobuf.message import Message
from prometheus_client import REGISTRY
from virtual_time import virtually

from multimood import topics
from multimood.bus import Bus, Delivery, Event, Output, output
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnsendableError
from multimood.safety import CrisisPolicy, Handover, Handovers
from multimood.safety.handover import noticed, raised
from multimood.topics import Topic
from services.sentinel.notices import Notices

pytestmark = pytest.mark.unit

POLICY = CrisisPolicy.load()
CONTEXT = pb.Context(tenant="t", conversation_id="c", utterance_id="x")


class Inner:
    """A processor that does nothing but learn."""

    recovers = ()

    def __init__(self, handovers: Handovers) -> None:
        self._handovers = handovers

    def recover(self, _topic: Topic, event: Event[Message]) -> None:
        assert isinstance(event.message, pb.Escalation)
        self._handovers.see(event.message)

    async def process(self, _deliveries: Sequence[Delivery]) -> None:
        pass

    def reset(self) -> None:
        pass

    async def drain(self, _grace_s: float) -> None:
        pass


class World:
    """What was said, and what ended the worker."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.said: list[Output] = []
        self.crashes: list[BaseException] = []
        self._failure = failure
        handovers = Handovers()
        bus = Bus(self._emit, self._dead_letter, self.crashes.append)
        self.notices = Notices(Inner(handovers), bus, handovers, POLICY)

    async def _emit(self, outputs: Sequence[Output], _traceparent: str) -> None:
        if self._failure is not None:
            raise self._failure
        self.said += outputs

    async def _dead_letter(self, _delivery: Delivery, error: BaseException, _attempts: int) -> None:
        raise AssertionError(type(error).__name__)

    def read_back(self, record: pb.Escalation) -> None:
        out = output(topics.ESCALATION, record)
        self.notices.recover(out.topic, Event(out.topic, record, out.id, out.key, "", 0))


def crisis(ago_s: int) -> pb.Escalation:
    return raised(
        CONTEXT, level=pb.RISK_LEVEL_IMMINENT, rules=(), version="v", identity="e", policy=POLICY,
        now_us=now_us() - ago_s * 1_000_000,
    )  # fmt: skip


@virtually
async def test_in_the_middle_of_reading_back_nothing_is_said() -> None:
    """The crisis seems to lack its notices until they were read too."""
    world, record = World(), crisis(600)
    world.read_back(record)
    await asyncio.sleep(1.5)
    world.read_back(noticed(Handover.of(record), POLICY, now_us() - 1_000_000))
    await asyncio.sleep(60)
    assert not world.said
    await asyncio.sleep(130)
    assert [out.message.notice for out in world.said] == [2]
    await world.notices.drain(1.0)


@virtually
async def test_what_is_due_when_a_partition_was_read_back_is_said_soon_after() -> None:
    world = World()
    world.read_back(crisis(100))
    await asyncio.sleep(3.5)
    assert [(out.message.notice, out.message.notify) for out in world.said] == [(1, "on_call")]
    await world.notices.drain(1.0)


@virtually
async def test_what_cannot_be_said_ends_the_worker_so_that_another_says_it() -> None:
    world = World(UnsendableError("never"))
    world.read_back(crisis(100))
    await asyncio.sleep(10)
    assert [type(error) for error in world.crashes] == [UnsendableError]
    await world.notices.drain(1.0)


@virtually
async def test_drained_it_says_nothing_more() -> None:
    world = World()
    world.read_back(crisis(100))
    await world.notices.drain(1.0)
    await world.notices.process(())
    await asyncio.sleep(600)
    assert not world.said
    assert not world.crashes


@virtually
async def test_the_metrics_tell_how_many_are_open_and_for_how_long() -> None:
    world = World()
    assert measured("multimood_escalations_open") == measured("multimood_escalations_oldest_seconds") == 0
    world.read_back(crisis(90))
    assert measured("multimood_escalations_open") == 1
    assert measured("multimood_escalations_oldest_seconds") == pytest.approx(90, abs=5)
    world.notices.reset()
    assert measured("multimood_escalations_open") == 0, "they are another worker's now"
    await world.notices.drain(0)


def measured(name: str) -> float | None:
    return REGISTRY.get_sample_value(name)
