"""Order per key, bounds, and what is dropped, cut off or told when something goes wrong."""

import asyncio
from collections import defaultdict

import pytest

from multimood.bus.keyed import KeyedExecutor

pytestmark = pytest.mark.unit


class Gate:
    """Work that waits until it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._open: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def work(self, item: str) -> None:
        self.begun.append(item)
        await self._open[item].wait()
        self.ended.append(item)

    async def let(self, *items: str) -> None:
        for item in items:
            self._open[item].set()
        await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_items_of_a_key_run_in_order_and_keys_run_side_by_side() -> None:
    gate = Gate()
    executor: KeyedExecutor[str] = KeyedExecutor(gate.work, concurrency=8, capacity=100)
    for item in ("a1", "a2", "b1", "a3", "b2"):
        await executor.submit(item[0], item)
    await settle()
    assert sorted(gate.begun) == ["a1", "b1"]
    await gate.let("a2", "b1")
    assert gate.begun == ["a1", "b1", "b2"]
    await gate.let("a1", "a3", "b2")
    assert [item for item in gate.ended if item[0] == "a"] == ["a1", "a2", "a3"]
    assert executor.held == 0
    assert executor._queues == {}, "a key that has nothing left costs nothing"


async def test_no_more_run_at_once_than_allowed() -> None:
    gate = Gate()
    executor: KeyedExecutor[str] = KeyedExecutor(gate.work, concurrency=2, capacity=100)
    for number in range(5):
        await executor.submit(number, f"x{number}")
    await settle()
    assert gate.begun == ["x0", "x1"]
    await gate.let("x1")
    assert gate.begun == ["x0", "x1", "x2"]


async def test_submitting_waits_while_too_many_are_held() -> None:
    gate = Gate()
    executor: KeyedExecutor[str] = KeyedExecutor(gate.work, concurrency=8, capacity=2)
    await executor.submit("a", "a1")
    await executor.submit("a", "a2")
    third = asyncio.create_task(executor.submit("b", "b1"))
    await settle()
    assert not third.done()
    assert executor.held == 2
    await gate.let("a1")
    assert third.done()
    assert executor.held == 2


async def test_who_rests_makes_room_for_others_and_keeps_its_key() -> None:
    order: list[str] = []

    async def work(item: str) -> None:
        order.append(f"{item} begins")
        if item == "a1":
            await executor.rest(0.02)
        order.append(f"{item} ends")

    executor: KeyedExecutor[str] = KeyedExecutor(work, concurrency=1, capacity=10)
    for item in ("a1", "a2", "b1"):
        await executor.submit(item[0], item)
    assert await executor.drain(1)
    assert order.index("b1 ends") < order.index("a1 ends") < order.index("a2 begins")
    assert executor._slots._value == 1, "the slot was given back as often as it was taken"


async def test_dropping_forgets_what_has_not_begun() -> None:
    gate = Gate()
    executor: KeyedExecutor[str] = KeyedExecutor(gate.work, concurrency=8, capacity=3)
    for item in ("a1", "a2", "b1"):
        await executor.submit(item[0], item)
    waiting = asyncio.create_task(executor.submit("c", "c1"))
    await settle()
    executor.drop_waiting()
    await settle()
    assert waiting.done(), "what was dropped makes room"
    await executor.submit("a", "a2 again") if executor.held < 3 else None
    await gate.let("a1", "a2", "b1", "c1", "a2 again")
    assert "a2" not in gate.begun
    assert executor.held == 0


async def test_draining_waits_for_what_is_held() -> None:
    gate = Gate()
    executor: KeyedExecutor[str] = KeyedExecutor(gate.work, concurrency=8, capacity=10)
    assert await executor.drain(0.01)
    await executor.submit("a", "a1")
    await executor.submit("a", "a2")
    draining = asyncio.create_task(executor.drain(5))
    await gate.let("a1")
    assert not draining.done()
    await gate.let("a2")
    assert await draining


async def test_draining_cuts_off_what_takes_too_long_and_tells_nobody() -> None:
    gate, errors = Gate(), []
    executor: KeyedExecutor[str] = KeyedExecutor(gate.work, concurrency=1, capacity=10, on_error=errors.append)
    for item in ("a1", "a2", "b1"):
        await executor.submit(item[0], item)
    assert not await executor.drain(0.01)
    assert gate.ended == []
    assert executor.held == 0
    assert errors == []


async def test_an_error_that_gets_out_is_told() -> None:
    errors: list[BaseException] = []

    async def work(item: str) -> None:
        await asyncio.sleep(0)
        if item == "bad":
            raise ValueError(item)
        if item == "cancelled":
            raise asyncio.CancelledError

    executor: KeyedExecutor[str] = KeyedExecutor(work, concurrency=8, capacity=10, on_error=errors.append)
    await executor.submit("a", "bad")
    await executor.submit("b", "cancelled")
    await executor.submit("c", "good")
    await settle()
    assert sorted(type(error).__name__ for error in errors) == ["CancelledError", "ValueError"]
    assert executor.held == 0
