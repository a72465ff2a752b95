"""An event loop whose clock jumps to the next timer as soon as nothing else is ready.

Half a minute of deadlines and retries takes microseconds, and always the same way. What waits for something that will
never happen is an error at once instead of a test that hangs. There is no real input or output in it: neither sockets
nor threads, whose time is another one.
"""

import asyncio
import functools
import random
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, Self, TypeVar
from unittest import mock

T = TypeVar("T")
P = ParamSpec("P")

EPOCH_S = 1_700_000_000
"""What time it is when a virtual clock begins, in seconds since 1970."""
LONGEST_S = 24 * 3600.0


class NeverError(RuntimeError):
    """What is waited for can never happen, or not within a day."""


class RealIoError(RuntimeError):
    """Sockets, pipes and threads have no place in virtual time."""


class _Clockwork(selectors.SelectSelector):
    """Instead of waiting for input it moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sealed = False

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if self.sealed:
            raise RealIoError(f"virtual time knows no input and output: {fileobj!r} was to be waited for")
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NeverError("everything waits, and no timer is set: nothing will ever happen")
        self.now += max(timeout, 0.0)
        if self.now > LONGEST_S:
            raise NeverError(f"after {LONGEST_S:.0f} virtual seconds it still has not happened")
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._clockwork = _Clockwork()
        super().__init__(self._clockwork)
        self._clockwork.sealed = True  # the loop's own pipe to itself was the last

    def time(self) -> float:
        """Virtual seconds since the loop began."""
        return self._clockwork.now

    def run_in_executor(self, _executor: Any, func: Any, *_args: Any) -> Any:
        """Refuse: a thread takes real time."""
        raise RealIoError(f"virtual time knows no threads: {func!r} was to run in one")


class VirtualTime:
    """Runs coroutines one after another on one such loop; tasks they leave go on with the next one.

    What time it is (`multimood.clock.now_us`) follows the loop, and chance (`random`) begins the same every time.
    """

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        self._wall = mock.patch("multimood.clock.time_ns", self._time_ns)

    def __enter__(self) -> Self:
        random.seed(0)
        self._wall.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        try:
            self._runner.close()
        finally:
            self._wall.stop()

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self._runner.get_loop().time()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to its end."""
        return self._runner.run(coroutine)

    def _time_ns(self) -> int:
        return EPOCH_S * 10**9 + round(self.now * 1e9)


def virtually(test: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    """Run a coroutine function in virtual time: pytest and hypothesis see a plain function."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        async def main() -> T:
            return await test(*args, **kwargs)

        with VirtualTime() as time:
            return time.run(main())

    return run
