"""The clock of the tests: it jumps, agrees with what the product asks, and refuses what takes real time."""

import asyncio
import socket
import time

import pytest
from virtual_time import EPOCH_S, NeverError, RealIoError, VirtualTime, virtually

from multimood.clock import loop_time, now_us

pytestmark = pytest.mark.unit


@virtually
async def test_an_hour_takes_no_time_and_happens_in_order() -> None:
    began, order = time.perf_counter(), []

    async def note(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append((seconds, loop_time(), now_us()))

    await asyncio.gather(note(3600), note(0.5), note(60))
    assert order == [(s, s, int(EPOCH_S * 1_000_000 + s * 1_000_000)) for s in (0.5, 60, 3600)]
    assert time.perf_counter() - began < 60, "real time passed"


@virtually
async def test_time_limits_hold_to_the_moment() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await asyncio.sleep(10.001)
    assert loop_time() == 10
    async with asyncio.timeout(10):
        await asyncio.sleep(9.999)


@virtually
async def test_nothing_passes_while_there_is_something_to_do() -> None:
    for _ in range(1000):
        await asyncio.sleep(0)
    assert loop_time() == 0


def test_what_can_never_happen_is_an_error_and_no_hang() -> None:
    @virtually
    async def wait() -> None:
        await asyncio.Event().wait()

    @virtually
    async def poll() -> None:
        for _ in range(1000):
            await asyncio.sleep(600)

    for test in (wait, poll):
        with pytest.raises(NeverError):
            test()


@virtually
async def test_sockets_and_threads_are_refused() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(RealIoError):
        await asyncio.to_thread(time.sleep, 0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        with pytest.raises(RealIoError):
            await loop.sock_recv(ours, 1)


def test_tasks_go_on_from_one_run_to_the_next() -> None:
    ticks = []

    async def tick() -> None:
        while True:
            await asyncio.sleep(1)
            ticks.append(loop_time())

    async def begin() -> asyncio.Task[None]:
        return asyncio.create_task(tick())

    with VirtualTime() as virtual:
        task = virtual.run(begin())
        assert ticks == []
        virtual.run(asyncio.sleep(2.5))
        assert (ticks, virtual.now, task.done()) == ([1, 2], 2.5, False)
    assert task.cancelled()
    assert abs(now_us() / 1e6 - time.time()) < 60, "the real clock is back"
