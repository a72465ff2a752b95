"""Getting a version into the model repository and onto every Triton server, checked at each step; and old ones out."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from multimood.errors import MultimoodError
from multimood.local.triton_http import TritonHttp
from multimood.perception.strategy import SHIPPED
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.repository import Content, Repository
from multimood.rollout.serving import Servers
from multimood.rollout.standing import NONE, Version

KEPT: Final = 3
"""Versions that stay beside those that are needed: each that is served takes a process of the server."""


class Goods(Protocol):
    """What is brought: a policy's graph, or a reply model's weights with the program that serves them."""

    @property
    def sha256(self) -> bytes:
        """32 bytes, of what makes the version."""

    async def try_out(self, model: str, repository: Repository, servers: Servers) -> None:
        """Serve it on every server under another name, ask it, and leave nothing of it.

        Raises:
            PromotionRefusedError: it cannot be loaded, or does not answer as such a model does. UnavailableError.
        """

    async def parts(self, model: str, repository: Repository) -> tuple[Mapping[str, Content], str]:
        """The files of its version, and the model's configuration. Raises PromotionRefusedError, UnavailableError."""

    def check(self, server: TritonHttp, model: str, version: str) -> None:
        """Ask a version on a server. Raises PromotionRefusedError when it is another than this. UnavailableError."""


@dataclass(frozen=True, slots=True)
class Place:
    """A model's place: its repository and the servers that read it."""

    model: str
    repository: Repository
    servers: Servers
    shipped: Version = NONE
    """Version 1, if it came with the model: of a reply model its weights are not in the repository."""

    async def versions(self) -> Mapping[int, bytes]:
        """The SHA-256 of what makes each version that is there."""
        there = await self.repository.versions(self.model)
        return {
            number: digest or (self.shipped.sha256 if str(number) == self.shipped.version else b"")
            for number, digest in there.items()
        }

    async def bring(self, goods: Goods, used: Collection[int]) -> Version:
        """Try it, write it as the next version, load it, and see that each server answers with it.

        What is there already keeps its version. `used`: versions that steps have named; none is given twice.

        Raises:
            PromotionRefusedError: it cannot be served; then nothing of it stays. UnavailableError.
        """
        await asyncio.to_thread(self.servers.check_alive)
        await goods.try_out(self.model, self.repository, self.servers)
        there = await self.versions()
        number = max((one for one, digest in there.items() if digest == goods.sha256), default=0)
        is_new = not number
        if is_new:
            number = max((*there, *used, 0)) + 1
            await self.repository.write(self.model, number, *await goods.parts(self.model, self.repository))
        version = Version(str(number), goods.sha256)
        try:
            await asyncio.to_thread(self.servers.load, self.model, version.version)
            for server in self.servers.each:
                await asyncio.to_thread(goods.check, server, self.model, version.version)
        except MultimoodError:
            if is_new:
                await self.take_away(number)
            raise
        return version

    async def check(self, version: Version) -> None:
        """See that a version is still there, unchanged, and ready on each server: before going back to it.

        Raises:
            PromotionRefusedError: it is not there, or is another. UnavailableError: it does not become ready.
        """
        there = await self.versions()
        number = int(version.version)
        if number not in there:
            raise PromotionRefusedError(
                f"{self.model} version {number} is not in the repository any more; there are {sorted(there) or 'none'}"
            )
        if there[number] != version.sha256:
            raise PromotionRefusedError(f"{self.model} version {number} is another than the one that was served")
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
