"""While the broker is away nothing can come: no join ends for want of a part that could not arrive."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest
from bus_fakes import FakeBus, Log, context
from virtual_time import virtually

from multimood import topics
from multimood.bus import JoinedParts, Joining, Part
from multimood.bus.contact import ASK_S, GRACE_S, Contact
from multimood.contracts.v1 import events_pb2 as pb
from multimood.join import Join

pytestmark = pytest.mark.unit

DEADLINE_S = 4.0
GIVEN_UP_S = 3.0
"""A broker that says nothing is asked no longer."""


class Broker:
    """There, or frozen: it answers when it is back, if that is before one gives up."""

    def __init__(self) -> None:
        self.there = asyncio.Event()
        self.there.set()

    async def __call__(self) -> bool:
        try:
            return await asyncio.wait_for(self.there.wait(), GIVEN_UP_S)
        except TimeoutError:
            return False


class World:
    """A join of an utterance and its screening, and when what came out of it."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.said = Log(topics.UTTERANCE)
        self.screened = Log(topics.SCREENING)
        self.ended: dict[str, tuple[float, bool]] = {}
        join: Join[Part, object] = Join(self._required, deadline_s=DEADLINE_S, orphan_s=60, capacity=3)
        bus = replace(FakeBus().bus, reachable=self.broker)
        self._joining = Joining(
            "test", bus, join, self._finish, owns=(),  # type: ignore[arg-type]
        )  # fmt: skip

    async def say(self, *names: str) -> None:
        begin = len(self.said.records)
        self.said.write(*(pb.Utterance(context=context("c", name)) for name in names))
        await self._joining.process(self.said.deliveries(begin))

    async def screen(self, name: str) -> None:
        begin = len(self.screened.records)
        self.screened.write(pb.Screening(context=context("c", name)))
        await self._joining.process(self.screened.deliveries(begin))

    async def away(self, seconds: float) -> None:
        self.broker.there.clear()
        await asyncio.sleep(seconds)
        self.broker.there.set()

    @staticmethod
    def _required(parts: Mapping[str, Part]) -> Collection[str] | None:
        both = (topics.UTTERANCE.name, topics.SCREENING.name)
        return both if topics.UTTERANCE.name in parts else None

    async def _finish(self, joined: JoinedParts) -> None:
        self.ended[joined.key.rpartition("/")[2]] = (asyncio.get_running_loop().time(), joined.complete)


@virtually
async def test_with_a_broker_that_is_there_a_deadline_is_a_deadline() -> None:
    world = World()
    await world.say("u")
    await asyncio.sleep(DEADLINE_S + 0.1)
    when, complete = world.ended["u"]
    assert (when, complete) == (pytest.approx(DEADLINE_S), False)


@virtually
async def test_what_waited_through_an_outage_is_joined_whole_when_its_parts_come_after_it() -> None:
    world = World()
    await world.say("u")
    await asyncio.sleep(1.0)
    await world.away(60)
    await asyncio.sleep(GRACE_S - GIVEN_UP_S - 1)
    assert world.ended == {}
    await world.screen("u")
    await asyncio.sleep(0.1)
    assert world.ended["u"][1]


@virtually
async def test_after_the_grace_what_did_not_come_is_done_without() -> None:
    world = World()
    await world.say("u")
    await world.away(60)
    await asyncio.sleep(GRACE_S + GIVEN_UP_S + 2 * ASK_S)
    assert not world.ended["u"][1]


@virtually
async def test_an_outage_that_is_over_before_the_deadline_counts_too() -> None:
    world = World()
    await world.say("u")
    await asyncio.sleep(0.5)
    await world.away(DEADLINE_S - 1)
    await asyncio.sleep(2)
    assert world.ended == {}
    await world.screen("u")
    await asyncio.sleep(0.1)
    assert world.ended["u"][1]


@virtually
async def test_memory_is_bounded_all_the_same() -> None:
    world = World()
    world.broker.there.clear()
    await world.say("u0", "u1", "u2", "u3", "u4")
    await asyncio.sleep(GIVEN_UP_S + ASK_S)
    assert set(world.ended) == {"u0", "u1"}


@virtually
async def test_without_a_question_the_broker_is_there() -> None:
    contact = Contact(None)
    assert (await contact.embargo_s(), contact.look_s(60.0)) == (0.0, 60.0)
