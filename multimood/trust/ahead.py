"""The look-ahead reward of every turn of an experience log: which values the person shows after a reply (ES-VR).

It is computed where the log is read, and not written into it: a detector gets better, a log stays what it was.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from multimood.trust.values import GAMMA, HORIZON, Ahead, ahead_of, shown

FORMULA: Final = "lookahead-1"
TOGETHER: Final = 64
"""Texts that are judged at once."""
COLUMNS: Final = ("lookahead", "lookahead_complete")

Find = Callable[[Sequence[str]], Sequence[Collection[str]]]
"""Which values each text shows, as `ValueDetector.find` gives them."""


@dataclass(frozen=True, slots=True)
class Looking:
    """How far is looked, and at what."""

    gamma: float = GAMMA
    """What a value counts a turn later, 0..1."""
    horizon: int = HORIZON
    """Turns of the person behind the reply that count, at least 1."""
    targets: frozenset[str] | None = None
    """The values that count; None: all."""

    def version(self, detector: str) -> str:
        """Names everything that the rewards depend on; `detector` is the detector's own version."""
        which = "" if self.targets is None else f"+of={','.join(sorted(self.targets))}"
        return f"{FORMULA}+{detector}+gamma={self.gamma:g}+horizon={self.horizon}{which}"


def delayed_rewards(rows: Iterable[Mapping[str, Any]], find: Find, looking: Looking) -> dict[str, Ahead | None]:
    """By `row_id`, the look-ahead reward of every row that has a decision and a step; None: nobody can say.

    That is where a turn within the horizon is known to have been and cannot be judged: it is not in the log (no
    consent), or its words are not (sealed without a key, erased, or there were none). Behind the conversation's last
    logged turn nothing is counted, as in ES-VR, and `complete` is False.

    `rows` are those of `multimood.experience.rows`, opened, in any order; what was said is let go at once. Memory: some
    200 bytes a row. Raises ValueError (see `lookahead`), and what `find` raises.
    """
    turns: dict[tuple[str, str], dict[int, _Turn]] = defaultdict(dict)
    waiting: list[tuple[_Turn, str]] = []
    for row in rows:
        if not row["has_decision"] or row["step"] is None:
            continue
        turn = _Turn(row["row_id"])
        turns[row["tenant"], row["conversation_id"]].setdefault(row["step"], turn)
        if words := _said(row):
            waiting.append((turn, words))
        if len(waiting) == TOGETHER:
            _judge(waiting, find, looking)
    _judge(waiting, find, looking)
    found: dict[str, Ahead | None] = {}
    for by_step in turns.values():
        last = max(by_step)
        for step, turn in by_step.items():
            within = range(step + 1, min(step + looking.horizon, last) + 1)
            counts = [by_step[later].count if later in by_step else None for later in within]
            known = [count for count in counts if count is not None]
            is_known = len(known) == len(counts)
            found[turn.row_id] = ahead_of(known, looking.gamma, looking.horizon) if is_known else None
    return found


def with_lookahead(rows: Iterable[Mapping[str, Any]], found: Mapping[str, Ahead | None]) -> Iterator[dict[str, Any]]:
    """The rows with two columns more: `lookahead` and `lookahead_complete`, null where nobody can say."""
    for row in rows:
        ahead = found.get(row["row_id"])
        values = (None, None) if ahead is None else (ahead.reward, ahead.complete)
        yield {**row, **dict(zip(COLUMNS, values, strict=True))}


def summary_of(found: Mapping[str, Ahead | None]) -> dict[str, Any]:
    """How many turns there are, how many were judged, of how many the whole horizon was seen, and the mean reward."""
    judged = [ahead for ahead in found.values() if ahead is not None]
    return {
        "turns": len(found), "judged": len(judged), "complete": sum(ahead.complete for ahead in judged),
        "mean": sum(ahead.reward for ahead in judged) / len(judged) if judged else None,
    }  # fmt: skip


@dataclass(slots=True)
class _Turn:
    row_id: str
    count: int | None = None
    """Of values that it shows; None: not judged."""


def _said(row: Mapping[str, Any]) -> str:
    dialogue = row["dialogue"] or ()
    return (dialogue[-1]["text"] or "").strip() if dialogue else ""


def _judge(waiting: list[tuple[_Turn, str]], find: Find, looking: Looking) -> None:
    if waiting:
        values = find([words for _, words in waiting])
        for (turn, _), found in zip(waiting, values, strict=True):
            turn.count = shown(found, looking.targets)
        waiting.clear()
