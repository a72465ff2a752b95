"""Wall-clock time as the contract writes it: microseconds since the epoch."""

import time


def now_us() -> int:
    """Microseconds since the epoch, by this machine's clock."""
    return time.time_ns() // 1000
