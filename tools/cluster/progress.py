"""How far it is, on one clock for all of its processes."""

import os
import time
from typing import Final

_BEGAN: Final = float(os.environ.setdefault("MULTIMOOD_CLUSTER_BEGAN", str(time.monotonic())))


def say(text: str) -> None:
    """Tell a person how far it is, with the seconds since the first of the processes began."""
    print(f"[{time.monotonic() - _BEGAN:4.0f} s] {text}", flush=True)
