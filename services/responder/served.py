"""The reply model by version: of whom a conversation's replies are asked, and who stands in for that one."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import DeadlineExceededError, MultimoodError
from multimood.generation import Ask, Generator, Piece, TritonGenerator, Writer
from multimood.rollout.followed import Belonging, Followed
from multimood.rollout.standing import Version

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Who writes the reply to an utterance; `assigned` and `step` are empty where no rollout says so."""

    writer: Writer
    assigned: str = ""
    """The version that the conversation belongs to."""
    step: str = ""


class Served:
    """The reply model: one, or that version which the rollout says."""

    def __init__(self, generator: Generator) -> None:
        self.generator: Final = generator

    def choose(self, _context: pb.Context) -> Chosen:
        """Who writes the reply to this utterance, now."""
        return Chosen(self.generator)


class ServedByVersion(Served):
    """Triton's model, whose versions the rollout gives to conversations."""

    def __init__(self, generator: TritonGenerator, followed: Followed, first_s: float) -> None:
        """`first_s`: how long a challenger may take to its first piece; then the champion is asked."""
        super().__init__(generator)
        self._triton = generator
        self._followed = followed
        self._first_s = first_s

    def choose(self, context: pb.Context) -> Chosen:
        """See `Served`."""
        of = self._followed.belonging(context)
        return Chosen(_InTurn(self._triton, self._followed, of, self._first_s), of.assigned.version, of.step)


class _InTurn:
    """The version that a conversation belongs to; where it gives no first piece, the champion."""

    def __init__(self, triton: TritonGenerator, followed: Followed, of: Belonging, first_s: float) -> None:
        self._triton, self._followed, self._of, self._first_s = triton, followed, of, first_s

    @property
    def name(self) -> str:
        """See `Writer`."""
        return self._triton.name

    async def stream(self, ask: Ask) -> AsyncGenerator[Piece, None]:
        """See `Writer`. What fails once it has begun to speak has failed: nobody goes on in its place."""
        # All may rest: then the champion is asked all the same, as somebody waits.
        versions = self._followed.to_ask(self._of) or [self._of.champion]
        for version in versions:
            spoke = False
            try:
                async with aclosing(self._of_version(version, ask, versions)) as pieces:
                    async for piece in pieces:
                        if not spoke:
                            self._followed.answered(version)
                        spoke = True
                        yield piece
            except MultimoodError as error:
                self._followed.missed(version, error.code)
                if spoke or version == versions[-1]:
                    raise
                logger.warning(
                    "another version of the reply model is asked",
                    extra={"model": self.name, "version": str(version), "code": error.code, "cause": str(error)},
                )
            else:
                return

    async def _of_version(self, version: Version, ask: Ask, versions: Sequence[Version]) -> AsyncGenerator[Piece, None]:
        limit_s = self._first_s if version != versions[-1] else None
        async with aclosing(self._triton.of(version.version).stream(ask)) as pieces:
            try:
                async with asyncio.timeout(limit_s):
                    first = await anext(pieces)
            except TimeoutError:
                raise DeadlineExceededError(f"{self.name} {version} had no word within {limit_s:g} s") from None
            yield first
            async for piece in pieces:
                yield piece
