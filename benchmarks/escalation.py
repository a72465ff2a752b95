"""How soon a human can hear of a crisis: `python -m benchmarks.escalation [--quick] [--json FILE]`.

The whole system runs, and nothing comes back from its Triton, which serves the encoders, fusion and the language model:
connections open and hang, as to a frozen one (which the supervisor would restart after half a minute). First people in
a crisis write one after another and nobody else. Then the load that the way from the gateway to the screening can take
at most is found, by as many callers at once as fill it; half of it goes through the gateway while people in a crisis
write. From sending to the escalation, as the sentinel raised it and as the caller had it.
"""

import asyncio
import itertools
import multiprocessing as mp
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks import harness
from benchmarks.chaos.proxy import Proxies
from benchmarks.chaos.run import behind
from multimood import topics
from multimood.client import Client, TurnInput
from multimood.clock import now_us
from multimood.local.stack import Stack

CRISIS: Final = "I can't go on. Tonight I am going to kill myself."
SAID: Final = "I lost my job on Friday, and I still have not told anybody at home."
TRITON: Final = "triton.grpc"
WARM_UP: Final = 5
"""Crises for connections, and partitions that are taken over."""
CALLERS: Final = 32
"""At once, when the most that goes through is sought."""
LOOK_S: Final = 0.1
DRAIN_S: Final = 300.0
"""What was accepted is answered at the latest so long after the last of it."""
PAUSE_S: Final = 0.1
"""Between two crises."""
HALF: Final = 0.5
BUDGET_MS: Final = 100.0
"""p99, from sending to the escalation."""
ENV: Final = {"MULTIMOOD_GATEWAY_RATE_PER_S": "100000", "MULTIMOOD_GATEWAY_BURST": "100000"}
"""The tenant's limit is not what is measured."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds."""

    n: int
    p50: float
    p99: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of any number of values, at least one."""
        return cls(len(values), *(round(float(np.percentile(values, share)), 1) for share in (50, 99, 100)))


@dataclass(frozen=True, slots=True)
class Delay:
    """From sending a crisis to its escalation."""

    raised: Spread
    """As the sentinel stamped it."""
    told: Spread
    """As the caller had it."""


def ordinary() -> TurnInput:
    """A turn of words in a conversation of its own."""
    return TurnInput(f"load-{secrets.token_hex(6)}", text=SAID)


async def fill(address: str, key: str, seconds: float) -> int:
    """As many callers at once as there may be, for so long; gives how many utterances were accepted."""
    until = time.monotonic() + seconds

    async def call(client: Client) -> int:
        for number in itertools.count():
            if time.monotonic() > until:
                return number
            await client.publish(ordinary())
        raise AssertionError

    async with Client(address, key) as client:
        return sum(await asyncio.gather(*(call(client) for _ in range(CALLERS))))


async def pace(address: str, key: str, seconds: float, rate: float) -> int:
    """So many a second, whether or not the earlier ones have been accepted; gives how many were."""
    sent = 0
    async with Client(address, key) as client, asyncio.TaskGroup() as calls:
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            while sent < elapsed * rate:
                calls.create_task(client.publish(ordinary()))
                sent += 1
            await asyncio.sleep(0.005)
    return sent


def drive(sending: Any, address: str, key: str, seconds: float, rate: float | None) -> None:
    """The load, in a process of its own: what it costs does not count as delay of the callers that are measured."""
    began, work = time.monotonic(), fill(address, key, seconds) if rate is None else pace(address, key, seconds, rate)
    accepted = asyncio.run(work)
    sending.send((accepted, time.monotonic() - began))


class Load:
    """Utterances through the gateway, in the background."""

    def __init__(self, system: Stack, seconds: float, rate: float | None = None) -> None:
        context = mp.get_context("spawn")
        self._receiving, sending = context.Pipe(duplex=False)
        arguments = (sending, system.gateway, system.api_key, seconds, rate)
        self._process = context.Process(target=drive, args=arguments, daemon=True)
        self._process.start()
        sending.close()
        self._accepted: tuple[int, float] | None = None

    def accepted(self) -> tuple[int, float]:
        """Wait for its end; how many were accepted, in how many seconds. Raises EOFError when it failed."""
        if self._accepted is None:
            self._accepted = self._receiving.recv()
            self._process.join()
        return self._accepted

    def accepted_if_ended(self) -> int | None:
        """How many were accepted; None: it goes on."""
        return self.accepted()[0] if self._accepted is not None or self._receiving.poll() else None


class Records:
    """How many there are on a topic."""

    def __init__(self, system: Stack, topic: topics.Topic) -> None:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=system.kafka_brokers, enable_auto_commit=False)
        self._name = topic.name

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        found = await self._consumer._client.fetch_all_metadata()  # noqa: SLF001 - of a topic that is not assigned
        self._places = [TopicPartition(self._name, part) for part in found.partitions_for_topic(self._name)]
        self._before = await self._count()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def per_second(self, expected: Callable[[], int | None]) -> float:
        """So many came a second, from the first one to the last that is expected, once that is known."""
        first = first_at = 0.0
        while True:
            come, at, last = await self._count() - self._before, time.monotonic(), expected()
            if come and not first:
                first, first_at = come, at
            if last is not None and come >= last:
                return (come - first) / (at - first_at)
            await asyncio.sleep(LOOK_S)

    async def _count(self) -> int:
        return sum((await self._consumer.end_offsets(self._places)).values())


async def capacity(system: Stack, seconds: float) -> tuple[float, float]:
    """Utterances a second that are answered, and that are screened, when as many come as can."""
    async with Records(system, topics.REPLY) as replies, Records(system, topics.SCREENING) as screenings:
        load = Load(system, seconds)
        rates = asyncio.gather(
            replies.per_second(load.accepted_if_ended), screenings.per_second(load.accepted_if_ended)
        )
        answered, screened = await asyncio.wait_for(rates, seconds + DRAIN_S)
        return answered, screened


async def crises(system: Stack, count: int) -> Delay:
    """People in a crisis, one after another."""
    raised, told = [], []
    async with Client(system.gateway, system.api_key) as client:
        for _ in range(count):
            began_us = now_us()
            async for response in client.converse(TurnInput(f"crisis-{secrets.token_hex(6)}", text=CRISIS)):
                if response.HasField("escalation"):
                    raised.append((response.escalation.raised_at_us - began_us) / 1000)
                    told.append((now_us() - began_us) / 1000)
            await asyncio.sleep(PAUSE_S)
    assert len(told) == count, "a crisis was not escalated"
    return Delay(Spread.of(raised), Spread.of(told))


@dataclass(frozen=True, slots=True)
class Loaded:
    """Crises beside other people's utterances. Rates are utterances a second."""

    of: str
    """What `most_per_s` counts."""
    most_per_s: float
    load_per_s: float
    delay: Delay


@dataclass(frozen=True, slots=True)
class Measured:
    """One run."""

    alone: Delay
    loaded: tuple[Loaded, ...]


def beside(system: Stack, count: int, of: str, most: float) -> Loaded:
    """Crises, while half of the most comes."""
    load = Load(system, count * (PAUSE_S + 0.05) + 5, most * HALF)
    time.sleep(3)
    delay = asyncio.run(crises(system, count))
    accepted, took_s = load.accepted()
    return Loaded(of, round(most, 1), round(accepted / took_s, 1), delay)


def measure(count: int, seconds: float, console: Console) -> Measured:
    """Start a system, cut its Triton off, measure, stop it."""
    with (
        harness.folder() as place,
        console.status("starting the system") as status,
        Proxies({TRITON: lambda: behind(place / "system", TRITON)}) as proxies,
        Stack(place / "system", env=ENV, via=proxies.ports) as system,
    ):
        asyncio.run(crises(system, WARM_UP))
        proxies.begin(TRITON, "black_hole")
        status.update("crises, and nothing else")
        alone = asyncio.run(crises(system, count))
        status.update("the most that goes through")
        loaded = []
        for of, most in zip(("answered", "screened"), asyncio.run(capacity(system, seconds)), strict=True):
            status.update(f"crises, at half of the {most:.0f} utterances a second that are {of}")
            loaded.append(beside(system, count, of, most))
        proxies.heal(TRITON)  # what hangs could not end
    return Measured(alone, tuple(loaded))


def main() -> None:
    """Measure, print, write."""
    options = harness.arguments(__doc__ or "").parse_args()
    console = harness.console()
    measured = measure(20 if options.quick else 300, 3.0 if options.quick else 20.0, console)
    shown = Table("crises, Triton hangs", "n", "raised by the sentinel", "at the caller", "longest")
    rows = {"alone": measured.alone} | {
        f"beside {one.load_per_s:.0f} a second, half of what is {one.of}": one.delay for one in measured.loaded
    }
    for name, delay in rows.items():
        spreads = (f"{one.p50:.0f} / {one.p99:.0f}" for one in (delay.raised, delay.told))
        shown.add_row(name, str(delay.told.n), *spreads, f"{delay.told.most:.0f}")
    shown.caption = "milliseconds, p50 / p99"
    goals = [
        harness.Goal(f"p99 at the caller, {name}, ms", delay.told.p99, BUDGET_MS, at_least=False)
        for name, delay in rows.items()
    ]
    harness.report(console, shown, goals, asdict(measured), options.json)


if __name__ == "__main__":
    main()
