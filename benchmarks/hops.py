"""What a hop adds, and how it grows with load: `python -m benchmarks.hops [--quick] [--json FILE]`.

Two services by themselves on a broker of their own, neither waits for a model: the sentinel (one event in, its output
out) and the joiner (an utterance's last part in, its features out). A driver publishes evenly and reads back: at a low
rate, and at half load, which is the rate that keeps the service's process busy half of the time (found by trying). For
each event: the way through Kafka to the service, the service's own time, the way through Kafka to the reader. A hop is
the service's own time and one way. The floor beside it: a bare aiokafka echo, one way and no service.

A broker is slow for its first thousands of records, until it is compiled: they are not counted.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.table import Table

from benchmarks import harness, topics
from multimood import topics as known
from multimood.bus.envelope import encode_headers, output
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.topics import Topic, key_of

PARTITIONS: Final = 4
LOW_PER_S: Final = 20.0
FLOOR_PER_S: Final = 600.0
"""Of the echo, for which half load has no meaning."""
HALF: Final = 0.5
WARM: Final = (3_000, 300.0)
"""Events and their rate before anything is measured."""
TRIES: Final = 4
TRY_S: Final = 3.0
EARLY: Final = 20
"""An utterance's other parts are published so many utterances before its last one."""
BUDGETS: Final = {"sentinel": (3.0, 10.0), "joiner": (3.0, 10.0)}
OWN_BUDGET: Final = (2.0, 8.0)
"""Of the joiner: the last part in, the features out."""
READY: Final = "partition taken over"
LOST_S: Final = 20.0

Parts = Sequence[tuple[Topic, Any]]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Milliseconds."""

    n: int
    p50: float
    p99: float
    p999: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Quantiles":
        """Of at least one value."""
        return cls(len(values), *(round(float(np.percentile(values, at)), 2) for at in (50, 99, 99.9)))

    def __str__(self) -> str:
        return f"{self.p50:.1f} / {self.p99:.1f} / {self.p999:.1f}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One event's way, milliseconds."""

    before: float
    own: float
    after: float

    @property
    def hop(self) -> float:
        """The service and one way through Kafka."""
        return self.own + self.before


@dataclass(frozen=True, slots=True)
class Job:
    """What a service is given and what it gives."""

    service: str
    out: Topic
    early: Callable[[pb.Context], Parts]
    last: Callable[[pb.Context], tuple[Topic, Any]]


def _utterance(context: pb.Context) -> pb.Utterance:
    return pb.Utterance(context=context, manifest=[pb.MODALITY_TEXT], text="Not much to say today, it was a day.")


SENTINEL: Final = Job(
    "sentinel", known.SCREENING, lambda _context: (), lambda context: (known.UTTERANCE, _utterance(context))
)
JOINER: Final = Job(
    "joiner",
    known.FEATURES,
    lambda context: (
        (known.UTTERANCE, _utterance(context)),
        (known.SCREENING, pb.Screening(context=context, level=pb.RISK_LEVEL_NONE, version="1")),
    ),
    lambda context: (
        known.EMBEDDING_TEXT,
        pb.Embedding(
            context=context, modality=pb.MODALITY_TEXT, vector=bytes(4 * 384), shape=[384], model_name="m",
            model_version="1",
        ),
    ),
)  # fmt: skip


class Driver:
    """Publishes events and sees what comes out."""

    def __init__(self, brokers: str, job: Job | None) -> None:
        self._brokers = brokers
        self._job = job
        self._out = job.out.name if job is not None else known.FEEDBACK.dead_letters
        self._sent: dict[str, int] = {}
        self._seen = asyncio.Event()
        self.samples: list[Sample] = []
        self._number = 0

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(bootstrap_servers=self._brokers, acks="all", enable_idempotence=True)
        self._reader = AIOKafkaConsumer(bootstrap_servers=self._brokers, enable_auto_commit=False)
        await self._producer.start()
        await self._reader.start()
        tps = [TopicPartition(self._out, number) for number in range(PARTITIONS)]
        self._reader.assign(tps)
        await self._reader.seek_to_end(*tps)
        for tp in tps:
            await self._reader.position(tp)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._producer.stop()
        await self._reader.stop()

    async def _read(self) -> None:
        while True:
            for records in (await self._reader.getmany(timeout_ms=500)).values():
                now = now_us()
                for record in records:
                    self._take(record, now)

    def _take(self, record: Any, now: int) -> None:
        if self._job is None:
            sent = self._sent.pop(record.key.decode(), None)
            if sent is not None:
                self.samples.append(Sample((now - sent) / 1000, 0.0, 0.0))
            return
        message = self._job.out.message.FromString(record.value)
        sent = self._sent.pop(message.context.utterance_id, None)  # type: ignore[attr-defined]
        if sent is not None:
            hop = message.hops[-1]  # type: ignore[attr-defined]
            times = (hop.received_at_us - sent, hop.produced_at_us - hop.received_at_us, now - hop.produced_at_us)
            self.samples.append(Sample(*(microseconds / 1000 for microseconds in times)))

    def _context(self, number: int) -> pb.Context:
        return pb.Context(tenant="bench", conversation_id=f"c{number % 997}", utterance_id=f"{id(self)}-{number}")

    async def _send(self, topic: Topic, message: Any) -> None:
        headers = encode_headers(output(topic, message), "bench")
        await self._producer.send(topic.name, message.SerializeToString(), key_of(message.context), headers=headers)

    async def _event(self, number: int) -> None:
        if self._job is None:
            name = f"{id(self)}-{number}"
            self._sent[name] = now_us()
            await self._producer.send(self._out, bytes(2048), name.encode(), partition=number % PARTITIONS)
            return
        for topic, message in self._job.early(self._context(number + EARLY)):
            await self._send(topic, message)
        context = self._context(number)
        topic, message = self._job.last(context)
        self._sent[context.utterance_id] = now_us()
        await self._send(topic, message)

    async def drive(self, count: int, per_s: float | None) -> float:
        """Publish `count` events, evenly or (None) as fast as it goes; gives how many a second came back."""
        begin, self.samples = self._number, []
        self._number += count + EARLY
        if self._job is not None:
            for number in range(begin, begin + EARLY):
                for topic, message in self._job.early(self._context(number)):
                    await self._send(topic, message)
        began = time.perf_counter()
        for index in range(count):
            if per_s is not None:
                await asyncio.sleep(began + index / per_s - time.perf_counter())
            await self._event(begin + index)
        ended = time.perf_counter()
        while len(self.samples) < count:
            if time.perf_counter() - ended > LOST_S:
                raise RuntimeError(f"{count - len(self.samples)} of {count} events did not come back")
            await asyncio.sleep(0.01)
        return count / (time.perf_counter() - began)


async def busy_at(driver: Driver, pid: int, count: int, rate: float) -> float:
    """Drive, and give the share of the time that the process was busy."""
    used, began = harness.Usage.of(pid).cpu_s, time.perf_counter()
    await driver.drive(count, rate)
    return (harness.Usage.of(pid).cpu_s - used) / (time.perf_counter() - began)


async def probe(brokers: str, job: Job | None, pid: int, *, low: int, loaded: int) -> dict[str, Any]:
    """Low load, then half load."""
    async with Driver(brokers, job) as driver:
        await driver.drive(*WARM)
        await driver.drive(low, LOW_PER_S)
        quiet, half = driver.samples, FLOOR_PER_S
        for _ in range(TRIES if job is not None else 0):
            half *= min(2.0, max(0.5, HALF / await busy_at(driver, pid, int(half * TRY_S), half)))
        busy = await busy_at(driver, pid, loaded, half)
        return {"low": quiet, "half": driver.samples, "low_per_s": LOW_PER_S, "half_per_s": half, "busy": busy}


def measure(job: Job | None, sizes: dict[str, int]) -> dict[str, Any]:
    """One service on a fresh broker."""
    with harness.broker() as (brokers, folder):
        topics.apply(brokers, PARTITIONS)
        if job is None:
            return asyncio.run(probe(brokers, None, os.getpid(), **sizes))
        log = folder / "service.log"
        env = {"MULTIMOOD_KAFKA_BROKERS": brokers}
        with harness.process([sys.executable, "-m", f"services.{job.service}"], log, env) as child:
            harness.wait_said(child, log, READY)
            return asyncio.run(probe(brokers, job, child.pid, **sizes))


def main() -> None:
    """Measure, print, write."""
    chosen = harness.arguments(__doc__).parse_args()
    console = harness.console()
    sizes = {"low": 100, "loaded": 1000} if chosen.quick else {"low": 1200, "loaded": 20000}
    found = {}
    for name, job in (("bare echo", None), ("sentinel", SENTINEL), ("joiner", JOINER)):
        with console.status(name):
            found[name] = measure(job, sizes)
    shown = Table("", "events a second", "n", "own code", "one way through Kafka", "hop: both", "to the reader")
    goals, figures = [], {}
    for name, measured in found.items():
        for load in ("low", "half"):
            samples: list[Sample] = measured[load]
            own, before, hop, after = (
                Quantiles.of([getattr(one, part) for one in samples]) for part in ("own", "before", "hop", "after")
            )
            rate = measured[f"{load}_per_s"]
            shown.add_row(name, f"{rate:,.0f}", str(len(samples)), str(own), str(before), str(hop), str(after))
            figures[f"{name}, {load}"] = {
                "per_s": round(rate, 1),
                **({"busy": round(measured["busy"], 2)} if load == "half" and name in BUDGETS else {}),
                **{
                    part: asdict(one)
                    for part, one in (("own", own), ("before", before), ("hop", hop), ("after", after))
                },
            }
            if name in BUDGETS:
                for value, bound, what in zip((hop.p50, hop.p99), BUDGETS[name], ("p50", "p99"), strict=True):
                    goals.append(harness.Goal(f"{name}, {load} load, hop {what} (ms)", value, bound, at_least=False))
            if name == "joiner":
                for value, bound, what in zip((own.p50, own.p99), OWN_BUDGET, ("p50", "p99"), strict=True):
                    goals.append(harness.Goal(f"{name}, {load} load, last part in to features out {what} (ms)", value,
                                              bound, at_least=False))  # fmt: skip
    shown.caption = "milliseconds, p50 / p99 / p99.9"
    harness.report(console, shown, goals, {"hops": figures}, chosen.json)


if __name__ == "__main__":
    main()
