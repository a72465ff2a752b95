"""What the agent of chaos will do, drawn from a seed. Pure: the same seed gives the same plan."""

import random
from dataclasses import dataclass
from typing import Final

from benchmarks.chaos.proxy import FAULTS, Fault
from multimood.local.services import SERVERS, SERVICES

LINKS: Final = ("kafka", "store.s3", "triton.grpc")
"""Ports that lie behind a proxy, by the names that `multimood.local` gives them."""
SERVER_WEIGHT: Final = 0.25
"""Of a server, beside 1 of a service: its restart stops everything for a while."""
PAUSE_S: Final = (1.0, 15.0)
"""Up to beyond a group's session timeout, so that some come back when their partitions are somebody else's."""
FAULT_S: Final = (1.0, 12.0)
DELAY_S: Final = (0.02, 0.4)


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL for a part."""

    part: str


@dataclass(frozen=True, slots=True)
class Pause:
    """SIGSTOP for a part, SIGCONT after a while."""

    part: str
    for_s: float


@dataclass(frozen=True, slots=True)
class Disturb:
    """A fault on the way to a server, for a while."""

    link: str
    fault: Fault
    for_s: float
    delay_s: float = 0.0


Act = Kill | Pause | Disturb


def plan(seed: int, kills: int, gap_s: tuple[float, float]) -> list[tuple[float, Act]]:
    """Give pairs of seconds to wait and what to do then: so many kills, and pauses and faults between them.

    Every kind of fault is in it on every link, and every part is killed once, if there are kills enough.
    """
    chance = random.Random(seed)
    names = [service.name for service in SERVICES] + list(SERVERS)
    weights = [1.0] * len(SERVICES) + [SERVER_WEIGHT] * len(SERVERS)

    def part() -> str:
        return chance.choices(names, weights)[0]

    faults = [(link, fault) for fault in FAULTS for link in LINKS]
    faults += chance.choices(faults, k=max(0, kills // 4 - len(faults)))
    chance.shuffle(names_once := list(names))
    victims = names_once[:kills] + [part() for _ in range(kills - len(names))]
    acts: list[Act] = [Kill(victim) for victim in victims]
    acts += [Pause(part(), chance.uniform(*PAUSE_S)) for _ in range(max(4, kills // 5))]
    acts += [Disturb(*fault, chance.uniform(*FAULT_S), chance.uniform(*DELAY_S)) for fault in faults]
    chance.shuffle(acts)
    return [(chance.uniform(*gap_s), act) for act in acts]
