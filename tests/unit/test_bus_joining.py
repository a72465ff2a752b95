"""The processor around a join: what is acknowledged when, and what becomes of errors, moves and the end."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import pytest
from bus_fakes import FakeBus, Log, context, settle
from virtual_time import virtually

from multimood import topics
from multimood.bus import Delivery, JoinedParts, Joining, Part
from multimood.bus.delivery import Said
from multimood.bus.envelope import decode, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnsendableError
from multimood.join import Join

pytestmark = pytest.mark.unit


def required(parts: Mapping[str, Part]) -> Collection[str] | None:
    both = (topics.UTTERANCE.name, topics.SCREENING.name)
    return both if topics.UTTERANCE.name in parts else None


def id_of(utterance: str) -> str:
    """The last part of an utterance's name."""
    return utterance.rpartition("/")[2]


class Finish:
    """Remembers what was joined; waits, or fails, as told."""

    def __init__(self) -> None:
        self.begun: list[JoinedParts] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failures: list[BaseException] = []

    async def __call__(self, joined: JoinedParts) -> None:
        self.begun.append(joined)
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)

    @property
    def keys(self) -> list[str]:
        return [id_of(joined.key) for joined in self.begun]


@pytest.fixture
def finish() -> Finish:
    return Finish()


@pytest.fixture
def fake() -> FakeBus:
    return FakeBus()


@pytest.fixture
def said() -> Log:
    return Log(topics.UTTERANCE)


@pytest.fixture
def screened() -> Log:
    return Log(topics.SCREENING)


def joining(
    fake: FakeBus, finish: Callable[[JoinedParts], Awaitable[None]], deadline_s: float = 60, **options: Any
) -> Joining:
    join: Join[Part, Delivery] = Join(required, deadline_s=deadline_s, orphan_s=deadline_s, capacity=1000)
    options = {"owns": (topics.UTTERANCE,), **options}
    return Joining("test", fake.bus, join, finish, **options)


def utterance(name: str) -> pb.Utterance:
    return pb.Utterance(context=context("c", name))


def screening(name: str) -> pb.Screening:
    return pb.Screening(context=context("c", name))


async def test_parts_are_acknowledged_together_when_their_record_is_durable(
    fake: FakeBus, finish: Finish, said: Log, screened: Log
) -> None:
    one = joining(fake, finish)
    await one.process(said.write(utterance("a"), utterance("b")).deliveries())
    assert one.held == 2
    finish.open.clear()
    await one.process(screened.write(screening("a")).deliveries())
    await settle()
    assert (finish.keys, said.done, screened.done, one.held) == (["a"], 0, 0, 1)
    finish.open.set()
    await settle()
    assert (said.done, screened.done) == (1, 1)
    await one.drain(1)


async def test_what_comes_while_its_key_is_being_finished_waits_for_it(
    fake: FakeBus, finish: Finish, said: Log, screened: Log
) -> None:
    one = joining(fake, finish)
    finish.open.clear()
    await one.process(said.write(utterance("a"), utterance("a")).deliveries(0, 1))
    await one.process(screened.write(screening("a")).deliveries())
    await one.process(said.deliveries(1))
    await settle()
    assert (len(finish.begun), said.done) == (1, 0)
    finish.open.set()
    await settle()
    assert (len(finish.begun), said.done, screened.done) == (1, 2, 1)
    await one.process(said.write(utterance("a")).deliveries(2))
    assert said.done == 3, "late, and nothing waits any more"
    await one.drain(1)


async def test_a_move_during_finishing_acknowledges_nothing_too_early(
    fake: FakeBus, finish: Finish, said: Log, screened: Log
) -> None:
    one = joining(fake, finish)
    finish.open.clear()
    await one.process(said.write(utterance("a")).deliveries())
    await one.process(screened.write(screening("a")).deliveries())
    await settle()
    for log in (said, screened):
        log.move()
    one.reset()
    for log in (said, screened):
        await one.process(log.deliveries())
    await settle()
    assert (len(finish.begun), said.done, screened.done) == (1, 0, 0), "acknowledged before it was durable"
    finish.open.set()
    await settle()
    assert (len(finish.begun), said.done, screened.done) == (1, 1, 1)
    await one.drain(1)


async def test_what_was_pending_when_partitions_moved_is_joined_from_what_comes_again(
    fake: FakeBus, finish: Finish, said: Log, screened: Log
) -> None:
    one = joining(fake, finish)
    await one.process(said.write(utterance("a")).deliveries())
    said.move()
    one.reset()
    assert one.held == 0
    await one.process(screened.write(screening("a")).deliveries())
    await settle()
    assert finish.keys == []
    await one.process(said.deliveries())
    await settle()
    assert (finish.keys, said.done, screened.done) == (["a"], 1, 1)
    await one.drain(1)


async def test_a_batch_that_moves_while_it_is_taken_is_not_taken_further(
    fake: FakeBus, finish: Finish, said: Log
) -> None:
    fake.open.clear()
    one = joining(fake, finish)
    taking = asyncio.create_task(one.process(said.raw(b"\xff").write(utterance("a")).deliveries()))
    await settle()
    said.move()
    one.reset()
    fake.open.set()
    await taking
    assert one.held == 0


async def test_time_ends_what_waits(fake: FakeBus, finish: Finish, said: Log, screened: Log) -> None:
    one = joining(fake, finish, deadline_s=0.02)
    await one.process(said.write(utterance("a")).deliveries())
    await settle(0.05)
    assert [(id_of(joined.key), joined.complete) for joined in finish.begun] == [("a", False)]
    assert said.done == 1
    await one.process(screened.write(screening("a")).deliveries())
    assert (screened.done, finish.keys) == (1, ["a"])
    await one.drain(1)


@virtually
async def test_a_deadline_counts_from_when_the_part_is_added_however_long_a_dead_letter_took() -> None:
    fake, finish, said = FakeBus(), Finish(), Log(topics.UTTERANCE)
    one = joining(fake, finish, deadline_s=10)
    fake.open.clear()
    taking = asyncio.create_task(one.process(said.raw(b"\xff\xff").write(utterance("a")).deliveries()))
    await asyncio.sleep(60)
    fake.open.set()
    await asyncio.sleep(9)
    assert (taking.done(), len(fake.letters), finish.keys) == (True, 1, [])
    await asyncio.sleep(2)
    assert finish.keys == ["a"]
    await one.drain(1)


async def test_expired_keys_wait_for_their_turn_and_are_not_acknowledged_meanwhile(
    fake: FakeBus, finish: Finish, said: Log
) -> None:
    one = joining(fake, finish, deadline_s=0.02, concurrency=1)
    finish.open.clear()
    await one.process(said.write(utterance("a"), utterance("b"), utterance("b")).deliveries(0, 2))
    await settle(0.05)
    assert finish.keys == ["a"]
    await one.process(said.deliveries(2))
    assert said.done == 0
    finish.open.set()
    await settle(0.03)
    assert finish.keys == ["a", "b"]
    assert said.done == 3
    await one.drain(1)


async def test_no_more_are_finished_at_once_than_allowed(
    fake: FakeBus, finish: Finish, said: Log, screened: Log
) -> None:
    one = joining(fake, finish, concurrency=2)
    finish.open.clear()
    names = "abcd"
    await one.process(said.write(*map(utterance, names)).deliveries())
    taking = asyncio.create_task(one.process(screened.write(*map(screening, names)).deliveries()))
    await settle()
    assert (finish.keys, taking.done()) == (["a", "b"], False)
    finish.open.set()
    await taking
    await settle()
    assert (finish.keys, said.done) == (list(names), 4)
    await one.drain(1)


async def test_what_cannot_be_finished_is_dead_lettered_part_by_part_and_may_come_back(
    fake: FakeBus, finish: Finish, said: Log, screened: Log
) -> None:
    one = joining(fake, finish)
    finish.failures = [ValueError()]
    await one.process(said.write(utterance("a")).deliveries())
    await one.process(screened.write(screening("a")).deliveries())
    await settle()
    assert {delivery.topic.name for delivery, _, _ in fake.letters} == {topics.UTTERANCE.name, topics.SCREENING.name}
    assert (said.done, screened.done) == (1, 1)
    await one.process(said.write(utterance("a")).deliveries(1))
    await one.process(screened.write(screening("a")).deliveries(1))
    await settle()
    assert (finish.keys, said.done, len(fake.letters)) == (["a", "a"], 2, 2)
    await one.drain(1)


async def test_what_was_joined_in_an_earlier_life_is_not_joined_again(
    fake: FakeBus, finish: Finish, said: Log, screened: Log
) -> None:
    one = joining(fake, finish)
    features = Log(topics.FEATURES).write(pb.Features(context=context("c", "a"))).records[0]
    one.recover(topics.FEATURES, decode(topics.FEATURES, features.value, features.headers, features.key, 0))
    await one.process(said.write(utterance("a")).deliveries())
    await one.process(screened.write(screening("a")).deliveries())
    await settle()
    assert (finish.keys, said.done, screened.done) == ([], 1, 1)
    await one.drain(1)


async def test_only_the_owner_complains_of_what_nobody_can_read(
    fake: FakeBus, finish: Finish, said: Log, screened: Log
) -> None:
    one = joining(fake, finish)
    await one.process(said.raw(b"\xff").deliveries())
    await one.process(screened.raw(b"\xff").deliveries())
    assert [delivery.topic for delivery, _, _ in fake.letters] == [topics.UTTERANCE]
    assert (said.done, screened.done) == (1, 1)
    await one.drain(1)


async def test_a_timer_that_dies_ends_the_process(fake: FakeBus, finish: Finish, said: Log) -> None:
    one = joining(fake, finish, deadline_s=0.01)
    one._join.expire = lambda _now: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    await one.process(said.write(utterance("a")).deliveries())
    await settle(0.02)
    assert [type(error) for error in fake.crashes] == [ZeroDivisionError]


async def test_a_dead_letter_that_cannot_be_sent_ends_the_process(
    fake: FakeBus, finish: Finish, said: Log, screened: Log
) -> None:
    one = joining(fake, finish)
    fake.letters_fail, finish.failures = UnsendableError("no room"), [ValueError()]
    await one.process(said.write(utterance("a")).deliveries())
    await one.process(screened.write(screening("a")).deliveries())
    await settle()
    assert [type(error) for error in fake.crashes] == [UnsendableError]
    assert (said.done, screened.done) == (0, 0)
    await one.drain(1)


async def test_a_key_that_begins_anew_while_it_is_finished_keeps_its_records_apart(
    fake: FakeBus, said: Log, screened: Log
) -> None:
    gates = {False: asyncio.Event(), True: asyncio.Event()}

    async def finish(joined: JoinedParts) -> None:
        await gates[joined.complete].wait()

    one = joining(fake, finish, deadline_s=0.02)
    # The part ends alone, unjoined; then its key comes whole. The first end must not confirm the second.
    await one.process(screened.write(screening("a")).deliveries())
    await settle(0.04)
    await one.process(screened.write(screening("a")).deliveries(1))
    await one.process(said.write(utterance("a"), utterance("a")).deliveries(0, 1))
    await one.process(said.deliveries(1))
    gates[False].set()
    await settle()
    assert (screened.done, said.done) == (1, 0)
    gates[True].set()
    await settle()
    assert (screened.done, said.done) == (2, 2)
    await one.drain(1)


def publishing(fake: FakeBus, says: Callable[[JoinedParts], Said | None]) -> Joining:
    join: Join[Part, Delivery] = Join(required, deadline_s=60, orphan_s=60, capacity=1000)
    return Joining("test", fake.bus, join, says=says, owns=(topics.UTTERANCE,))


def features(joined: JoinedParts) -> Said:
    name = id_of(joined.key)
    return output(topics.FEATURES, pb.Features(context=context("c", name))), f"trace {name}"


async def test_what_only_has_to_be_published_leaves_together_and_is_acknowledged_when_durable(
    fake: FakeBus, said: Log, screened: Log
) -> None:
    one = publishing(fake, features)
    fake.open.clear()
    names = [f"u{number}" for number in range(300)]
    await one.process(said.write(*map(utterance, names)).deliveries())
    await one.process(screened.write(*map(screening, names)).deliveries())
    await settle()
    assert (said.done, screened.done) == (0, 0)
    await one.process(said.write(utterance("u0")).deliveries(300))
    assert said.done == 0, "it comes again while it is not durable yet"
    fake.open.set()
    await settle()
    assert (said.done, screened.done) == (301, 300)
    assert [out.message.context.utterance_id for out in fake.outputs] == names  # type: ignore[attr-defined]
    assert fake.traceparents == [f"trace {name}" for name in names]
    await one.drain(1)


async def test_of_what_leaves_together_only_what_failed_is_dead_lettered(
    fake: FakeBus, said: Log, screened: Log
) -> None:
    def says(joined: JoinedParts) -> Said | None:
        if id_of(joined.key) == "b":
            raise ValueError
        return None if id_of(joined.key) == "c" else features(joined)

    one = publishing(fake, says)
    fake.failures = [UnsendableError("too large")]
    await one.process(said.write(*map(utterance, "abcd")).deliveries())
    await one.process(screened.write(*map(screening, "abcd")).deliveries())
    await settle()
    assert [out.message.context.utterance_id for out in fake.outputs] == ["d"]  # type: ignore[attr-defined]
    dead = [decode(d.topic, d.record.value, d.record.headers, d.record.key, 0).utterance for d, _, _ in fake.letters]
    assert sorted(dead) == ["t/c/a", "t/c/a", "t/c/b", "t/c/b"]
    assert (said.done, screened.done, fake.crashes) == (4, 4, [])
    await one.drain(1)


async def test_draining_ends_what_is_being_finished_and_leaves_what_waits(
    fake: FakeBus, finish: Finish, said: Log, screened: Log
) -> None:
    one = joining(fake, finish)
    await one.process(said.write(utterance("a"), utterance("b")).deliveries())
    finish.open.clear()
    await one.process(screened.write(screening("a")).deliveries())
    draining = asyncio.create_task(one.drain(5))
    await settle()
    assert not draining.done()
    finish.open.set()
    await draining
    assert (said.done, screened.done, fake.crashes) == (1, 1, [])


async def test_draining_cuts_off_what_takes_too_long(fake: FakeBus, finish: Finish, said: Log, screened: Log) -> None:
    one = joining(fake, finish)
    finish.open.clear()
    await one.process(said.write(utterance("a")).deliveries())
    await one.process(screened.write(screening("a")).deliveries())
    await settle()
    await one.drain(0.01)
    assert (said.done, screened.done, fake.crashes, fake.letters) == (0, 0, [], [])
