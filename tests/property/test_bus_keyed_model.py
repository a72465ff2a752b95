"""Any mix of keys, lengths, bounds and drops: nothing runs out of order, twice, or beyond the bounds."""

import asyncio
from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from multimood.bus.keyed import KeyedExecutor

Item = tuple[int, int, int]
"""Key, number, turns of the loop that it takes."""


@given(
    items=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=40),
    concurrency=st.integers(1, 5),
    capacity=st.integers(1, 8),
    drop_at=st.sets(st.integers(0, 40), max_size=3),
)
@settings(max_examples=80, deadline=None)
def test_order_bounds_and_drops(
    items: list[tuple[int, int]], concurrency: int, capacity: int, drop_at: set[int]
) -> None:
    async def scenario() -> None:
        running: Counter[int] = Counter()
        ran: defaultdict[int, list[int]] = defaultdict(list)

        async def work(item: Item) -> None:
            key, number, turns = item
            running[key] += 1
            assert running[key] == 1, "two of one key at once"
            assert running.total() <= concurrency
            assert executor.held <= capacity
            for _ in range(turns):
                await asyncio.sleep(0)
            ran[key].append(number)
            running[key] -= 1

        errors: list[BaseException] = []
        executor: KeyedExecutor[Item] = KeyedExecutor(
            work, concurrency=concurrency, capacity=capacity, on_error=errors.append
        )
        for number, (key, turns) in enumerate(items):
            await executor.submit(key, (key, number, turns))
            if number in drop_at:
                executor.drop_waiting()
        assert await executor.drain(5)
        assert not errors, errors
        assert executor.held == 0
        for numbers in ran.values():
            assert numbers == sorted(set(numbers))
        if not drop_at:
            assert sum(map(len, ran.values())) == len(items)

    asyncio.run(scenario())
