"""Contexts out of a corpus of dialogues, as `multimood eval` reads it: with the strategy that the supporter followed.

Of what people labelled, the prompt is told the strategy alone, which is the decision to be followed. Emotions and
stages are left out of it: a running system perceives them and may be wrong.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
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
    left_out: int
    """Places that are not among them: crises, no strategy, replies that are too short, too long or would be refused."""


def read(data: Path, split: str, seed: int | str, names: Sequence[str] = CORPORA) -> Corpora:
    """Contexts of the corpora below `data` with the replies that people gave.

    A crisis gets a vetted reply in service, so nobody learns to answer one here; what the guard would refuse is no
    example either. Raises NotFoundError and ConfigurationError (see `Source`), also when there is nothing of use.
    """
    turns, is_crisis = PerceptionSettings().turns, cache(_screening())
    found: list[Context] = []
    digests, places = [], 0
    for name in names:
        source = Source(data, split)
        part = corpora()[name].read(source)[0]
        digests.append(source.sha256)
        for number, row in answered([dialogue.seen for dialogue in part.dialogues], "all"):
            places += 1
            context = _context(name, part.dialogues[number], row, turns)
            if context is not None and _is_usable(context, is_crisis):
                found.append(context)
    if not found:
        raise ConfigurationError(f"{data} holds no reply of split {split!r} to learn from ({places} were looked at)")
    random.Random(seed).shuffle(found)  # noqa: S311 - sampling, not secrets
    return Corpora(found, "+".join(digests), places - len(found))


def sampled(contexts: Sequence[Context], most: int) -> list[Context]:
    """At most so many, of every corpus as many as of the others while it has them."""
    by_corpus: dict[str, Iterator[Context]] = {
        name: iter([one for one in contexts if one.corpus == name])
        for name in dict.fromkeys(c.corpus for c in contexts)
    }
    chosen: list[Context] = []
    while by_corpus and len(chosen) < most:
        for name in list(by_corpus):
            one = next(by_corpus[name], None)
            if one is None:
                del by_corpus[name]
            elif len(chosen) < most:
                chosen.append(one)
    return chosen


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
