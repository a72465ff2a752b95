"""One attempt at a reply: the model writes, the guard looks, whole words leave as they come."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from multimood.bus import HopClock
from multimood.clock import now_us
from multimood.errors import UnavailableError
from multimood.generation import Piece, Token
from multimood.generation.draft import Draft

Look = Callable[[str], str | None]
"""The guard: why a text may not leave; None when it may."""
Tell = Callable[[int, str], Awaitable[None]]
"""Publishes a piece by its index; returns when it is durable."""


class NotWritten(Exception):  # noqa: N818 - it is a decision, not an error
    """There will be no generated reply; the label says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Progress:
    """What is known of the attempt, also when it fails."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_version: str = ""
    first_token_at_us: int = 0
    pieces: int = 0
    """Pieces that have left."""
    tokens: list[Token] = field(default_factory=list)
    """Those that the model's server told, if it does."""

    def take(self, piece: Piece) -> None:
        """Note what a piece of the model's says beside its text."""
        if piece.text and not self.first_token_at_us:
            self.first_token_at_us = now_us()
        self.prompt_tokens, self.completion_tokens = piece.prompt_tokens, piece.completion_tokens
        self.model_version = piece.model_version
        self.tokens.extend(piece.tokens)


@dataclass(frozen=True, slots=True)
class Written:
    """A finished reply; `rest` is what has not left of it yet."""

    text: str
    rest: str


class Writing:
    """Reads the model in one task and sends in another, so that the broker's round trips do not slow the model down.

    While a piece is being sent the following words gather, and leave together as the next one.
    """

    def __init__(self, draft: Draft, progress: Progress, *, look: Look, tell: Tell | None, max_tokens: int) -> None:
        """Without `tell` nothing leaves along the way: the guard looks on, and `rest` will be the whole."""
        self._draft = draft
        self._progress = progress
        self._look = look
        self._tell = tell
        self._scarce_from = max_tokens - max_tokens // 3
        self._more = asyncio.Event()
        self._ended = False
        self._cut = False

    async def write(self, pieces: AsyncGenerator[Piece, None], clock: HopClock) -> Written:
        """Run the attempt.

        Raises:
            NotWritten: the guard does not let it go on.
            MultimoodError: the model failed before it had finished a sentence.
        """
        reading = asyncio.create_task(self._read(pieces, clock))
        telling = asyncio.create_task(self._tell_along())
        try:
            await asyncio.wait((reading, telling), return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()  # it ends by itself only by raising
            reading.result()
            self._ended = True
            self._more.set()
            await telling
        finally:
            for task in (reading, telling):
                task.cancel()
            await asyncio.gather(reading, telling, return_exceptions=True)
        text = self._draft.finish(cut=self._cut)
        self._check(text)
        return Written(text, text[self._draft.sent :])

    async def _read(self, pieces: AsyncGenerator[Piece, None], clock: HopClock) -> None:
        draft = self._draft
        try:
            # All of it is the model's time: it writes on while the guard looks and pieces are sent.
            with clock.model():
                async with aclosing(pieces):
                    async for piece in pieces:
                        self._progress.take(piece)
                        draft.add(piece.text)
                        draft.scarce = piece.completion_tokens >= self._scarce_from
                        self._more.set()
                        self._cut = piece.finish not in {"", "stop"}
                        if piece.finish or draft.full:
                            return
        except UnavailableError:
            # What is finished of it is worth more to the person than a vetted excuse.
            if not draft.has_sentence:
                raise
            self._cut = True

    async def _tell_along(self) -> None:
        while not self._ended:
            await self._more.wait()
            self._more.clear()
            if seen := self._draft.seen():
                self._check(seen)
                if self._tell is not None and (piece := self._draft.take()):
                    await self._tell(self._progress.pieces, piece)
                    self._progress.pieces += 1

    def _check(self, text: str) -> None:
        reason = self._look(text)
        if reason is not None:
            raise NotWritten(reason)
