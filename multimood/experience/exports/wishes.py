"""What a researcher can choose about an export, and what became of it."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from multimood.errors import MultimoodError
from multimood.experience.schema import Row

Kind = Literal["trl-dpo", "trl-kto", "minari", "obp", "hf"]
Target = Literal["reward", "rating", "relief", "lookahead"]
PairSource = Literal["dialogues", "attempts", "refused"]
"""Where a pair comes from: two logged replies to one dialogue; two candidates for one reply; a reply and what the guard
refused before it."""
Rows = Callable[[], Iterator[Row]]
"""Reads the log from the beginning, with what came later."""

PAIR_SOURCES: Final[tuple[PairSource, ...]] = ("dialogues", "attempts", "refused")
CREATED: Final = "made from a MultiMood experience log by `multimood experience export`"


class NothingToExportError(MultimoodError):
    """No row of the log can be put into this form; the message says why not."""

    code = "nothing_to_export"


@dataclass(frozen=True, slots=True)
class Wishes:
    """Options of all forms; each takes those that concern it."""

    target: Target = "reward"
    """What counts as reward: that of the trust score, the rating, the fall of intensity until the next turn, or the
    look-ahead reward, which rows must have then (`multimood.trust.ahead`)."""
    threshold: float = 0.5
    """trl-kto: from this reward on a reply is desirable."""
    min_gap: float = 0.1
    """trl-dpo: by so much the rewards, or the scores, of a pair differ at least."""
    pairs: tuple[PairSource, ...] = PAIR_SOURCES
    """trl-dpo: from where pairs are taken."""
    content: bool = False
    """hf: with what was said."""
    dialogue_chars: int = 8_000
    """trl-*: characters of the dialogue that are kept in the prompt."""
    version: str = ""
    """Of what the look-ahead reward depends on; it is told in the export."""

    def reward(self, row: Row) -> float | None:
        """A row's reward; None when it has none."""
        match self.target:
            case "reward":
                return _number(row["reward"])
            case "rating":
                return _number(row["rating"])
            case "relief":
                before, after = _number(row["intensity"]), _number(row["next_intensity"])
                return None if before is None or after is None else before - after
            case "lookahead":
                return _number(row["lookahead"])

    @property
    def told(self) -> str:
        """What counts as reward, with its version where it has one of its own."""
        return f"{self.target} ({self.version})" if self.version else self.target


@dataclass(slots=True)
class Exported:
    """What was written."""

    rows: int = 0
    """Rows of the log that were read."""
    items: int = 0
    """Examples, pairs, steps or rows that were written."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows by why they are not among them."""
    sources: Counter[str] = field(default_factory=Counter)
    """trl-dpo: pairs by where they come from."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        told = {"rows": self.rows, "items": self.items, "left_out": dict(sorted(self.left_out.items()))}
        return told | {"sources": dict(sorted(self.sources.items()))} if self.sources else told


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
