"""What an evaluation gives, and how it says how far it is."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

FULL: Final = "full"
"""The mask under which everything counts that came."""
NONE: Final = "none"
"""The mask of the history alone."""
FOLD: Final = re.compile(r"_fold_\d+$")
"""How a task's name ends that is one fold of another."""

Score = dict[str, Any]


class Progress(Protocol):
    """Shows how far the work is."""

    def begin(self, what: str, total: int) -> Callable[[], None]:
        """A new stage; what is given back is called once for each of `total`."""


@dataclass(slots=True)
class Result:
    """Everything that is reported. Nothing in it is what somebody said."""

    corpus: str
    split: str
    data_sha256: str
    note: str = ""
    tasks: dict[str, dict[str, Score]] = field(default_factory=dict)
    """By task and mask."""
    ratings: dict[str, dict[str, Score]] = field(default_factory=dict)
    """The same of numbers (intensity)."""
    replies: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    """What was left out or missing, counted."""
    models: dict[str, dict[str, str | None]] = field(default_factory=dict)
    """Version and SHA-256 of every model that answered."""
    seconds: float = 0.0
