"""Pairs of replies to one chat, one better than the other: best and worst of several that are written for it (DPO)."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from multimood.learning.replies.contexts import Asking, Context, Message
from multimood.learning.replies.judging import Reward
from multimood.learning.replies.sampling import Sampler

TOGETHER: Final = 8
"""Contexts that are answered at once."""
SEEDS: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class Pair:
    """Two replies to one chat."""

    prompt: list[Message]
    chosen: str
    rejected: str
    gap: float
    """By so much the chosen one's reward is higher."""
    source: str
    """Where it comes from: best-of-n, attempts, refused, same context."""

    def example(self) -> dict[str, list[Message]]:
        """In TRL's conversational form."""
        one, other = ([{"role": "assistant", "content": text}] for text in (self.chosen, self.rejected))
        return {"prompt": self.prompt, "chosen": one, "rejected": other}


def best_of_n(
    contexts: Iterable[Context], sampler: Sampler, reward: Reward, asking: Asking, *, each: int, temperature: float,
    min_gap: float, seed: int,
) -> Iterator[Pair]:  # fmt: skip
    """Write `each` replies to a context; the best and the worst are a pair where their rewards are `min_gap` apart."""
    left = iter(contexts)
    number = 0
    while batch := list(islice(left, TOGETHER)):
        written = sampler.write(batch, each=each, temperature=temperature, seed=(seed + number) % SEEDS)
        number += 1
        for context, replies in zip(batch, written, strict=True):
            if (pair := _extremes(context, replies, reward, asking)) is not None and pair.gap >= min_gap:
                yield pair


def _extremes(context: Context, replies: Sequence[str], reward: Reward, asking: Asking) -> Pair | None:
    different = list(dict.fromkeys(text for text in replies if text))
    if len(different) < 2:  # noqa: PLR2004 - to compare
        return None
    scores = [scored.reward for scored in reward.of(context, different)]
    best, worst = scores.index(max(scores)), scores.index(min(scores))
    return Pair(asking.chat(context), different[best], different[worst], scores[best] - scores[worst], "best-of-n")


class KeptPairs:
    """Pairs in a file: a run that is broken off while it learns from them does not write its candidates again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, pairs: Iterator[Pair], most: int) -> list[Pair]:
        """The first `most` pairs, from the file if they were all written before."""
        if self._done.exists():
            return self._read()[:most]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        kept: list[Pair] = []
        with self._path.open("w", encoding="utf-8") as lines:
            for pair in islice(pairs, most):
                lines.write(json.dumps(asdict(pair)) + "\n")
                lines.flush()
                kept.append(pair)
        self._done.touch()
        return kept

    @property
    def _done(self) -> Path:
        return self._path.with_suffix(".done")

    def _read(self) -> list[Pair]:
        return [Pair(**json.loads(line)) for line in self._path.read_text(encoding="utf-8").splitlines()]
