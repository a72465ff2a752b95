"""How long a reply may take, and what is tried again: everything before the first word, nothing after it."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from multimood.errors import DeadlineExceededError, UnavailableError
from multimood.generation.ask import Ask, Piece, Writer
from multimood.generation.errors import BusyError


@dataclass(frozen=True, slots=True)
class Patience:
    """Times in seconds, from the beginning."""

    first_s: float
    """Until the first text, over all attempts."""
    whole_s: float
    """Until the end."""
    pause_s: float = 0.2
    """Before the second attempt; doubled before each further one."""


async def patiently(writer: Writer, ask: Ask, patience: Patience) -> AsyncGenerator[Piece, None]:
    """Stream a reply within the times.

    An attempt that fails before any text, in a way that may pass, is followed by another while there is time for it.

    Raises:
        DeadlineExceededError: the first text or the end did not come in time.
        MultimoodError: as the writer raises.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    first, whole = begun + min(patience.first_s, patience.whole_s), begun + patience.whole_s
    pause, spoke = patience.pause_s, False
    while True:
        try:
            async with aclosing(writer.stream(ask)) as pieces:
                while True:
                    piece = await _next(pieces, writer.name, whole if spoke else first)
                    spoke = spoke or bool(piece.text)
                    yield piece
                    if piece.finish:
                        return
        except DeadlineExceededError:
            raise
        except UnavailableError as error:
            wait = max(pause * random.uniform(0.5, 1.0), error.retry_after_s if isinstance(error, BusyError) else 0.0)  # noqa: S311
            if spoke or loop.time() + wait >= first:
                raise
        await asyncio.sleep(wait)
        pause *= 2


async def _next(pieces: AsyncGenerator[Piece, None], name: str, due: float) -> Piece:
    try:
        async with asyncio.timeout_at(due):
            piece = await anext(pieces, None)
    except TimeoutError:
        raise DeadlineExceededError(f"{name} was not in time with its words") from None
    if piece is None:
        raise UnavailableError(f"{name} ended without saying why")
    return piece
