"""In order per conversation, concurrent across conversations, bounded in all. Pure asyncio, no Kafka."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class KeyedExecutor(Generic[T]):
    """Runs `work(item)` for submitted items.

    Items of one key run one after another in submission order; at most `concurrency` run at once; `submit` waits while
    `capacity` items are held. `work` handles its own errors: one that gets out is given to `on_error`, because the
    items behind it will never be done.
    """

    def __init__(
        self,
        work: Callable[[T], Awaitable[None]],
        *,
        concurrency: int,
        capacity: int,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._work = work
        self._capacity = capacity
        self._on_error = on_error
        self._slots = asyncio.Semaphore(concurrency)
        self._queues: dict[Hashable, deque[T]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._cancelling = False

    @property
    def held(self) -> int:
        """Items waiting or running."""
        return self._held

    async def submit(self, key: Hashable, item: T) -> None:
        """Queue an item behind the others of its key."""
        while self._held >= self._capacity:
            self._room.clear()
            await self._room.wait()
        self._held += 1
        self._idle.clear()
        queue = self._queues.get(key)
        if queue is not None:
            queue.append(item)
            return
        self._queues[key] = deque([item])
        task = asyncio.create_task(self._run(key))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def rest(self, seconds: float) -> None:
        """Sleep inside `work` without counting as running: others may run meanwhile, the own key waits."""
        self._slots.release()
        try:
            await asyncio.sleep(seconds)
        finally:
            await self._slots.acquire()

    async def _run(self, key: Hashable) -> None:
        queue = self._queues[key]
        try:
            while queue:
                async with self._slots:
                    await self._work(queue[0])
                queue.popleft()
                self._release(1)
        finally:
            # Reached with items left only when cancelled: they are not done, their offsets stay open.
            del self._queues[key]
            self._release(len(queue))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._cancelling:
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None and self._on_error is not None:
            self._on_error(error)

    def drop_waiting(self) -> None:
        """Forget the items that have not begun."""
        for queue in self._queues.values():
            waiting = len(queue) - 1  # the first one runs, or is next to
            for _ in range(waiting):
                queue.pop()
            self._release(max(waiting, 0))

    def _release(self, count: int) -> None:
        self._held -= count
        self._room.set()
        if self._held == 0:
            self._idle.set()

    async def drain(self, grace_s: float) -> bool:
        """Wait until nothing is held; after the grace cancel what is left and return False."""
        try:
            await asyncio.wait_for(self._idle.wait(), grace_s)
        except TimeoutError:
            self._cancelling = True
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            return False
        return True
