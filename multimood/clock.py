"""The two clocks: what time it is, as the contract writes it, and how much has passed."""

import asyncio
from time import time_ns


def now_us() -> int:
    """Microseconds since the epoch, by this machine's clock."""
    return time_ns() // 1000


def loop_time() -> float:
    """Seconds by the running loop's clock: the one that its timers go by, so that both always agree."""
    return asyncio.get_running_loop().time()
