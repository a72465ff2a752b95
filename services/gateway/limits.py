"""How much one tenant, and all together, may ask for. Pure: the clock is an argument."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from services.gateway.refusals import OverLimitError

TENANTS: Final = 10_000
MEMORY_RETRY_S: Final = 1.0


class TokenBucket:
    """`rate` tokens a second, at most `capacity` of them saved."""

    __slots__ = ("_at", "_capacity", "_rate", "_tokens")

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self._rate = rate
        self._capacity = capacity
        self._tokens = capacity
        self._at = now

    def take(self, count: float, now: float) -> float:
        """Take tokens and give 0.0, or leave them and give the seconds until there will be enough."""
        self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if count <= self._tokens:
            self._tokens -= count
            return 0.0
        return (count - self._tokens) / self._rate


class TenantLimits:
    """Calls and bytes of each tenant. The tenants used last are remembered; one forgotten starts with full buckets."""

    def __init__(
        self, *, rate_per_s: float, burst: int, bytes_per_minute: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate_per_s
        self._burst = burst
        self._bytes = bytes_per_minute
        self._clock = clock
        self._tenants: OrderedDict[str, tuple[TokenBucket, TokenBucket]] = OrderedDict()

    def admit_call(self, tenant: str) -> None:
        """Count one call. Raises OverLimitError."""
        wait_s = self._buckets(tenant)[0].take(1, self._clock())
        if wait_s:
            message = f"more than {self._rate:g} calls a second (bursts of {self._burst})"
            raise OverLimitError("calls", message, wait_s)

    def admit_bytes(self, tenant: str, count: int) -> None:
        """Count media bytes. Raises OverLimitError."""
        wait_s = self._buckets(tenant)[1].take(count, self._clock())
        if wait_s:
            raise OverLimitError("bytes", f"more than {self._bytes} bytes of media a minute", wait_s)

    def _buckets(self, tenant: str) -> tuple[TokenBucket, TokenBucket]:
        found = self._tenants.get(tenant)
        if found is None:
            now = self._clock()
            found = TokenBucket(self._rate, self._burst, now), TokenBucket(self._bytes / 60, self._bytes, now)
            self._tenants[tenant] = found
            if len(self._tenants) > TENANTS:
                self._tenants.popitem(last=False)
        self._tenants.move_to_end(tenant)
        return found


class UploadMemory:
    """Bytes of media held by all calls together."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.held = 0

    def hold(self, count: int) -> None:
        """Count bytes as held. Raises OverLimitError when there is no room for them."""
        if self.held + count > self._capacity:
            raise OverLimitError("memory", "the gateway holds as much media as it may", MEMORY_RETRY_S)
        self.held += count

    def release(self, count: int) -> None:
        """Give bytes back."""
        self.held -= count
