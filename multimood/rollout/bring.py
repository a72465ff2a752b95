"""Getting a version into the model repository and onto every Triton server, checked at each step; and old ones out."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from multimood.errors import MultimoodError
from multimood.perception.strategy import SHIPPED
from multimood.rollout.candidate import Candidate
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.repository import Repository
from multimood.rollout.serving import Servers, config_of, pbtxt_of
from multimood.rollout.standing import Version

KEPT: Final = 3
"""Versions that stay beside those that are needed: each that is served takes a process of the server."""


@dataclass(frozen=True, slots=True)
class Place:
    """A policy model's place: its repository and the servers that read it."""

    model: str
    repository: Repository
    servers: Servers

    async def bring(self, candidate: Candidate, used: Collection[int]) -> Version:
        """Try the graph, write it as the next version, load it, and see that each server answers with it.

        A graph that is there already keeps its version. `used`: versions that steps have named; none is given twice.

        Raises:
            PromotionRefusedError: it cannot be served; then nothing of it stays. UnavailableError.
        """
        await asyncio.to_thread(self.servers.check_alive)
        wanted = await asyncio.to_thread(self.servers.try_out, self.model, candidate.graph, candidate.taxonomy)
        there = await self.repository.versions(self.model)
        number = max((one for one, digest in there.items() if digest == candidate.sha256), default=0)
        is_new = not number
        if is_new:
            number = max((*there, *used, 0)) + 1
            config = pbtxt_of(config_of(self.model, candidate.taxonomy))
            await self.repository.write(self.model, number, candidate.graph, config)
        version = Version(str(number), candidate.sha256)
        try:
            await asyncio.to_thread(self.servers.load, self.model, version.version)
            await asyncio.to_thread(self.servers.check_answers, self.model, version.version, candidate.taxonomy, wanted)
        except MultimoodError:
            if is_new:
                await self.take_away(number)
            raise
        return version

    async def check(self, version: Version) -> None:
        """See that a version is still there, unchanged, and ready on each server: before going back to it.

        Raises:
            PromotionRefusedError: it is not there, or is another graph. UnavailableError: it does not become ready.
        """
        there = await self.repository.versions(self.model)
        number = int(version.version)
        if number not in there:
            raise PromotionRefusedError(
                f"{self.model} version {number} is not in the repository any more; there are {sorted(there) or 'none'}"
            )
        if there[number] != version.sha256:
            raise PromotionRefusedError(f"{self.model} version {number} is another graph than the one that was served")
        await asyncio.to_thread(self.servers.load, self.model, version.version)

    async def take_away(self, number: int) -> None:
        """Remove a version from repository and servers."""
        await self.repository.remove(self.model, number)
        await asyncio.to_thread(self.servers.forget_removed, self.model)

    async def prune(self, needed: Collection[Version], kept: int = KEPT) -> list[int]:
        """Remove the oldest versions that nobody needs, all but `kept`; gives their numbers. The shipped one stays."""
        there = await self.repository.versions(self.model)
        must = {int(one.version) for one in needed if one.version} | {int(SHIPPED)}
        spare = sorted(number for number in there if number not in must)
        gone = spare[: max(len(spare) - kept, 0)]
        for number in gone:
            await self.repository.remove(self.model, number)
        if gone:
            await asyncio.to_thread(self.servers.forget_removed, self.model)
        return gone
