"""Whether deadlines count: while the broker is away nothing that is waited for can come, however long one waits."""

from collections.abc import Awaitable, Callable
from typing import Final

from multimood.clock import loop_time

ASK_S: Final = 1.0
"""How often the broker is asked while something waits."""
SLOW_S: Final = 2.0
"""A broker that takes so long to answer was away."""
GRACE_S: Final = 10.0
"""After it is back: for the others to find it again and to say what they could not."""


class Contact:
    """Asks `reachable`, if there is such a question; without one the broker is taken to be always there."""

    def __init__(self, reachable: Callable[[], Awaitable[bool]] | None) -> None:
        self._reachable = reachable
        self._asked = float("-inf")
        self._is_lost = False
        self._counts_from = float("-inf")

    async def embargo_s(self) -> float:
        """Seconds until deadlines count; 0 as long as the broker was there all the time."""
        if self._reachable is None:
            return 0.0
        if loop_time() - self._asked >= ASK_S:
            asked, was_lost = loop_time(), self._is_lost
            self._is_lost = not await self._reachable()
            self._asked = loop_time()
            was_lost |= self._asked - asked > SLOW_S  # frozen, and back by now
            if was_lost or self._is_lost:
                self._counts_from = self._asked + GRACE_S
        return max(0.0, self._counts_from - loop_time())

    def look_s(self, wait_s: float) -> float:
        """How long to wait of `wait_s` before asking again: an outage must not pass unseen."""
        return wait_s if self._reachable is None else min(wait_s, ASK_S)
