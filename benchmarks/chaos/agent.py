"""The agent of chaos: carries a plan out on a running system, and counts what it did."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from benchmarks.chaos.plan import LINKS, Act, Disturb, Kill, Pause
from benchmarks.chaos.proxy import Proxies
from multimood.errors import NotFoundError
from multimood.local.stack import Stack

PATIENCE_S: Final = 60.0
"""A part that is to be killed while it is down is waited for: a kill that hits nothing would not count."""


@dataclass(slots=True)
class Deeds:
    """What was done."""

    kills: Counter[str] = field(default_factory=Counter)
    pauses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    """Acts that found no process to hit."""


class Agent:
    """Does what a plan says. Pauses and faults go on beside what follows, also beside each other."""

    def __init__(self, system: Stack, proxies: Proxies) -> None:
        self.deeds = Deeds()
        self._system = system
        self._proxies = proxies
        self._links = {link: asyncio.Lock() for link in LINKS}

    async def run(self, plan: Iterable[tuple[float, Act]]) -> None:
        """Carry the plan out; returns when the last pause and the last fault are over."""
        async with asyncio.TaskGroup() as group:
            for wait_s, act in plan:
                await asyncio.sleep(wait_s)
                match act:
                    case Kill(part):
                        await self._kill(part)
                    case Pause():
                        group.create_task(self._pause(act))
                    case Disturb():
                        group.create_task(self._disturb(act))

    async def _kill(self, part: str) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                self._system.kill(part)
            except NotFoundError:
                if asyncio.get_running_loop().time() > deadline:
                    self.deeds.missed += 1
                    return
                await asyncio.sleep(0.1)
            else:
                self.deeds.kills[part] += 1
                return

    async def _pause(self, act: Pause) -> None:
        try:
            before = self._system.kill(act.part, signal.SIGSTOP)
        except NotFoundError:
            self.deeds.missed += 1
            return
        self.deeds.pauses[act.part] += 1
        try:
            await asyncio.sleep(act.for_s)
        finally:
            assert before.identity is not None
            before.identity.send(signal.SIGCONT)

    async def _disturb(self, act: Disturb) -> None:
        async with self._links[act.link]:  # one at a time: the end of one would end the other
            self.deeds.faults[f"{act.link} {act.fault}"] += 1
            await asyncio.to_thread(self._proxies.begin, act.link, act.fault, act.delay_s)
            try:
                await asyncio.sleep(act.for_s)
            finally:
                await asyncio.to_thread(self._proxies.heal, act.link)
