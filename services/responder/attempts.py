"""Attempts at one reply: what the guard refuses is written anew, and of several candidates the best is sent."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import MultimoodError
from multimood.generation import Ask
from multimood.safety import Verdict
from multimood.trust.guard import guard
from multimood.trust.patterns import ReplyRules
from services.responder.settings import ResponderSettings
from services.responder.writing import NotWritten, Progress, Written

SEEDS: Final = 1 << 31
HOTTEST: Final = 2.0
WARMER: Final = 0.2
"""Each further attempt is written at so much more temperature: at 0 another seed alone gives the same words again."""

Score = Callable[[str], Awaitable[float | None]]
"""How good a reply is, 0..1; None: nobody could say."""


@dataclass(slots=True)
class Attempt:
    """One attempt, also when it comes to nothing; `name` is what its pieces are published under."""

    index: int
    name: str = field(default_factory=lambda: secrets.token_hex(6))
    progress: Progress = field(default_factory=Progress)
    written: Written | None = None
    faults: tuple[str, ...] = ()
    refused: str = ""
    """What the guard did not let go, as far as it was written then."""
    score: float | None = None

    def look(self, text: str, verdict: Verdict, rules: ReplyRules) -> str | None:
        """The guard's reason against a text; it is kept, with the rules that fired. None when it may leave."""
        result = guard(text, verdict, rules)
        if result.allowed:
            return None
        self.faults, self.refused = (str(result.reason), *result.rules), text
        return str(result.reason)

    def record(self, sent: "Attempt | None", *, texts: bool) -> pb.Attempt:
        """What the log keeps of it; with `texts`, also what was written and not sent."""
        made = pb.Attempt(
            index=self.index, faults=self.faults, sent=self is sent, completion_tokens=self.progress.completion_tokens
        )
        if self.score is not None:
            made.score = self.score
        if texts and self is not sent:
            made.text = self.written.text if self.written is not None else self.refused
        return made


Write = Callable[[Attempt, Ask, bool], Awaitable[Written]]
"""Makes one attempt; the flag says whether its pieces may be told. Raises NotWritten, MultimoodError."""


async def attempted(ask: Ask, write: Write, score: Score, settings: ResponderSettings, made: list[Attempt]) -> Attempt:
    """Write until there are as many candidates as wanted, and give the best; `made` gets every attempt.

    An attempt that is refused is followed by another, `settings.attempts` refusals at most, and only while there is as
    much time left as the longest one took. Pieces are told along while there is one candidate, and no more once some of
    a refused attempt have left: what was told cannot be taken back, so the person then gets the next reply as a whole.

    Raises:
        NotWritten: all were refused; the reason is the last one's.
        MultimoodError: the model failed before there was a candidate.
    """
    loop = asyncio.get_running_loop()
    due, longest = loop.time() + settings.whole_s, 0.0
    good: list[Attempt] = []
    refusal: NotWritten | None = None
    while len(good) < settings.candidates and len(made) - len(good) < settings.attempts:
        begun = loop.time()
        if made and begun + longest >= due:
            break
        streams = settings.candidates == 1 and not any(before.progress.pieces for before in made)
        attempt = Attempt(len(made))
        made.append(attempt)
        try:
            attempt.written = await write(attempt, another(ask, attempt.index, due - begun), streams)
            good.append(attempt)
        except NotWritten as why:
            refusal = why
        except MultimoodError as error:
            attempt.faults = (error.code,)
            if not good:
                raise
            break
        longest = max(longest, loop.time() - begun)
    if not good:
        assert refusal is not None
        raise refusal
    return await _best(good, score, due)


def another(ask: Ask, index: int, within_s: float) -> Ask:
    """The request for a further attempt: another seed, a little warmer, in the time that is left."""
    if not index:
        return ask
    temperature = min(max(HOTTEST, ask.temperature), ask.temperature + WARMER * index)
    return replace(ask, seed=(ask.seed + index) % SEEDS, temperature=temperature, within_s=within_s)


async def _best(candidates: Sequence[Attempt], score: Score, due: float) -> Attempt:
    """The one with the highest score; the earliest of equals, and of those that nobody could score in time."""
    if len(candidates) == 1:
        return candidates[0]
    with suppress(TimeoutError):
        async with asyncio.timeout_at(due):
            for candidate in candidates:
                assert candidate.written is not None
                candidate.score = await score(candidate.written.text)
    return max(candidates, key=lambda candidate: -1.0 if candidate.score is None else candidate.score)


def tokens_of(made: Iterable[Attempt]) -> tuple[int, int]:
    """Prompt and completion tokens of all attempts together."""
    every = list(made)
    return sum(one.progress.prompt_tokens for one in every), sum(one.progress.completion_tokens for one in every)
