"""Contexts out of a corpus of dialogues, as `multimood eval` reads it: with the strategy that the supporter followed.

Of what people labelled, the prompt is told the strategy alone, which is the decision to be followed. Emotions and
stages are left out of it: a running system perceives them and may be wrong.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final

from multimood.errors import ConfigurationError
from multimood.evaluation.corpora import corpora
from multimood.evaluation.rows import Dialogue
from multimood.evaluation.source import Source
from multimood.evaluation.writing import answered
from multimood.generation import Situation
from multimood.generation.dialogue import Said
from multimood.learning.replies.contexts import Context
from multimood.perception.settings import PerceptionSettings
from multimood.safety import Verdict
from multimood.safety.screener import Screener
from multimood.trust.guard import guard

CORPORA: Final = ("esconv", "mesc")
LEAST_WORDS: Final = 4
MOST_WORDS: Final = 60
SAFE: Final = Verdict("none", (), 0.0, "")


@dataclass(frozen=True, slots=True)
class Corpora:
    """Contexts of one split, in an order that a seed gives; and what they were read from."""

    contexts: Sequence[Context]
    sha256: str
    """Of the annotation files, joined by `+`."""


def read(
    data: Path,
    split: str,
    seed: int | str,
    names: Sequence[str] = CORPORA,
    most: int | None = None,
    *,
    even: bool = False,
) -> Corpora:
    """Contexts of the corpora below `data` with the replies that people gave; the first `most` that can be used.

    A crisis gets a vetted reply in service, so nobody learns to answer one here; what the guard would refuse is no
    example either. `even`: of every corpus as many as of the others while it has them, not as it comes.

    Raises:
        NotFoundError, ConfigurationError: see `Source`; also when there is nothing of use.
    """
    turns, is_crisis = PerceptionSettings().turns, cache(_screening())
    places: list[list[tuple[str, Dialogue, int]]] = []
    digests = []
    for name in names:
        source = Source(data, split)
        dialogues = corpora()[name].read(source)[0].dialogues
        digests.append(source.sha256)
        places.append(
            [(name, dialogues[number], row) for number, row in answered([one.seen for one in dialogues], "all")]
        )
    chance = random.Random(seed)  # noqa: S311 - sampling, not secrets
    for some in places:
        chance.shuffle(some)
    if not even:
        together = [place for some in places for place in some]
        chance.shuffle(together)
        places = [together]
    usable = [_usable(some, turns, is_crisis) for some in places]
    found = list(islice(_in_turn(usable), most))
    if not found:
        looked_at = sum(map(len, places))
        raise ConfigurationError(f"{data} holds no reply of split {split!r} to learn from ({looked_at} were looked at)")
    return Corpora(found, "+".join(digests))


def _in_turn(several: Sequence[Iterator[Context]]) -> Iterator[Context]:
    """One of each as long as it has any."""
    left = list(several)
    while left:
        for some in tuple(left):
            one = next(some, None)
            if one is None:
                left.remove(some)
            else:
                yield one


def _usable(
    places: Iterable[tuple[str, Dialogue, int]], turns: int, is_crisis: Callable[[str], bool]
) -> Iterator[Context]:
    for name, dialogue, row in places:
        context = _context(name, dialogue, row, turns)
        if context is not None and _is_usable(context, is_crisis):
            yield context


def _context(corpus: str, dialogue: Dialogue, row: int, turns: int) -> Context | None:
    strategy = dialogue.rows[row].truth.get("strategy")
    if not isinstance(strategy, str):
        return None
    said = [Said("user" if one.seen.role == "user" else "assistant", one.seen.text) for one in dialogue.rows[:row]]
    group = f"{corpus}/{dialogue.group}"
    return Context(
        f"{group}/{row}", group, Situation(strategy), tuple(said[-turns:]), dialogue.rows[row].seen.text, corpus
    )


def _screening() -> Callable[[str], bool]:
    screener = Screener.load()
    return lambda text: screener.screen(text).crisis


def _is_usable(context: Context, is_crisis: Callable[[str], bool]) -> bool:
    words = len(context.reference.split())
    return (
        LEAST_WORDS <= words <= MOST_WORDS
        and guard(context.reference, SAFE).allowed
        and not any(is_crisis(turn.text) for turn in context.dialogue if turn.role == "user")
    )
