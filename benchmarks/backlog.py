"""A backlog and its end: `python -m benchmarks.backlog [--utterances N] [--report FILE]`; exit code 1 if unsound.

Broker, Triton, sentinel and joiner run, the text encoder does not. N utterances of text are written straight to their
topic, in many conversations, one in a thousand a crisis. Meanwhile the sentinel has to screen all of them, and the
joiner, which waits for the encoder, must not read further than its memory allows. Then the text encoder is started, and
everything has to be joined, complete and in the order of its conversation, with memory flat, until nothing lags.

Strategist, responder and reward are left out: no language model answers so many. The joiner's deadline is an hour, so
that all is waited for; with the default one what waits longer than that goes on without its vector.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.memory import sample
from multimood import topics
from multimood.bus.envelope import encode_headers, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.lag import lag_of_groups
from multimood.local.places import tools
from multimood.local.ports import assign
from multimood.local.server import wait_ready
from multimood.local.services import SERVICES, ServiceProcess
from multimood.local.stack import Stack
from multimood.topics import Topic, key_of

ENCODER: Final = "text_encoder"
TURNS: Final = 100
"""Of each conversation."""
CRISIS_EVERY: Final = 1_000
CRISIS: Final = "I want to kill myself."
AT_ONCE: Final = 2_000
SAMPLE_S: Final = 1.0
STUCK_S: Final = 120.0
"""Without any progress for so long the run is given up."""
STEADY: Final = 0.25
"""From this share of the work on every cache is as full as it gets, or growing as it will go on to."""
MAY_GROW_MB: Final = 96.0
"""From then on, in a service: the joiner alone remembers the names of 200,000 utterances."""
KEPT_SAMPLES: Final = 40


def utterance(number: int, utterances: int) -> pb.Utterance:
    """The one with this number. Its conversation's others are spread evenly over all."""
    conversations = max(1, utterances // TURNS)
    context = pb.Context(
        tenant="t", conversation_id=f"c{number % conversations}", utterance_id=f"u{number}", locale="en-GB"
    )
    text = CRISIS if number % CRISIS_EVERY == 0 else f"This is worry number {number}, and I cannot sleep."
    return pb.Utterance(context=context, manifest=[pb.MODALITY_TEXT], text=text)


async def fill(brokers: str, utterances: int) -> None:
    """Write all of them."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all", enable_idempotence=True, linger_ms=5)
    await producer.start()
    try:
        for begin in range(0, utterances, AT_ONCE):
            made = [utterance(number, utterances) for number in range(begin, min(begin + AT_ONCE, utterances))]
            sent = [
                await producer.send(
                    topics.UTTERANCE.name,
                    one.SerializeToString(),
                    key=key_of(one.context),
                    headers=encode_headers(output(topics.UTTERANCE, one), "platform"),
                )
                for one in made
            ]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()


class Records:
    """What lies on topics: counted, or read from the beginning."""

    def __init__(self, reader: AIOKafkaConsumer) -> None:
        self._reader = reader

    @classmethod
    @asynccontextmanager
    async def on(cls, brokers: str) -> AsyncIterator["Records"]:
        """Connect."""
        reader = AIOKafkaConsumer(bootstrap_servers=brokers, enable_auto_commit=False)
        await reader.start()
        try:
            yield cls(reader)
        finally:
            await reader.stop()

    async def ends(self, topic: Topic) -> dict[TopicPartition, int]:
        """The end of each partition; their sum is how many records there were."""
        await self._reader._client._wait_on_metadata(topic.name)  # noqa: SLF001 - of a topic that is not assigned
        places = [TopicPartition(topic.name, number) for number in self._reader.partitions_for_topic(topic.name)]
        found: dict[TopicPartition, int] = await self._reader.end_offsets(places)
        return found

    async def count(self, topic: Topic) -> int:
        """How many records there were."""
        return sum((await self.ends(topic)).values())

    async def read(self, topic: Topic) -> AsyncIterator[Any]:
        """Every message, in order within a partition."""
        ends = await self.ends(topic)
        self._reader.assign(list(ends))
        await self._reader.seek_to_beginning()
        left = {place for place, end in ends.items() if end}
        while left:
            for place, records in (await self._reader.getmany(timeout_ms=500, max_records=2_000)).items():
                for record in records:
                    yield topic.message.FromString(record.value)
                if records and records[-1].offset + 1 >= ends[place]:
                    left.discard(place)


@dataclass(slots=True)
class Drained:
    """What was joined."""

    utterances: int = 0
    complete: int = 0
    """With their vector and their verdict."""
    repeated: int = 0
    disordered: int = 0
    """Came after a later one of their conversation."""

    @classmethod
    async def of(cls, features: AsyncIterator[pb.Features]) -> "Drained":
        """Look at every joined record, in the order of its partition."""
        found, seen = cls(), set[int]()
        last: dict[str, int] = {}
        async for one in features:
            number, conversation = int(one.context.utterance_id[1:]), one.context.conversation_id
            if number in seen:
                found.repeated += 1
                continue
            seen.add(number)
            found.utterances += 1
            found.complete += bool(one.embeddings) and not one.missing and one.HasField("screening")
            found.disordered += number < last.get(conversation, -1)
            last[conversation] = max(number, last.get(conversation, -1))
        return found


@dataclass(slots=True)
class Phase:
    """A stretch of the run with its samples: the share of its work that was done, and who held how many MB."""

    name: str
    seconds: float = 0.0
    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def growth_mb(self, service: str) -> float:
        """By how much it held more at most, once steady, than when that began; 0 in a phase too short to tell."""
        steady = [held[service] for done, held in self.samples if done >= STEADY and service in held]
        return round(max(steady) - steady[0], 1) if steady else 0.0

    def as_json(self) -> dict[str, Any]:
        """Seconds, and a selection of the samples."""
        step = max(1, len(self.samples) // KEPT_SAMPLES)
        kept = [*self.samples[:-1:step], *self.samples[-1:]]
        return {"seconds": round(self.seconds, 1), "samples": [{"done": done, "mb": held} for done, held in kept]}


class Backlog:
    """One run on a system that is up."""

    def __init__(self, system: Stack, folder: Path, utterances: int, say: Callable[[str], None]) -> None:
        self._system = system
        self._folder = folder
        self._utterances = utterances
        self._say = say
        self._pids = {name: part.pid for name, part in system.parts.items() if part.pid}

    async def run(self) -> dict[str, Any]:
        """Fill, wait, start the encoder, wait, look. Gives the report."""
        brokers, total = self._system.kafka_brokers, self._utterances
        async with Records.on(brokers) as records:
            idle = sample(self._pids)
            began = time.monotonic()
            await fill(brokers, total)
            filled_s = time.monotonic() - began
            self._say(f"{total} utterances written in {filled_s:.0f} s")
            screening = await self._phase("screened", records, topics.SCREENING)
            escalated = sum([not one.notice async for one in records.read(topics.ESCALATION)])
            waiting = lag_of_groups(self._system.endpoints.kafka)
            with self._encoder():
                joining = await self._phase("joined", records, topics.FEATURES)
                lag = await self._no_lag()
            drained = await Drained.of(records.read(topics.FEATURES))
            letters = Counter[str]()
            for topic in topics.TOPICS:
                dead = Topic(topic.dead_letters, topic.message, topic.retention_ms)
                letters[topic.name] = await records.count(dead)
        growth = {name: max(one.growth_mb(name) for one in (screening, joining)) for name in self._pids}
        services = {service.name for service in SERVICES} & growth.keys()
        crises = len(range(0, total, CRISIS_EVERY))
        return {
            "utterances": total,
            "ran": ["kafka", "triton", "sentinel", "joiner", ENCODER],
            "seconds_to_write": round(filled_s, 1),
            "escalated_while_the_encoder_was_stopped": escalated,
            "waiting_before_the_encoder": waiting,
            "joined_per_s": round(total / joining.seconds, 1),
            "screened_per_s": round(total / (filled_s + screening.seconds), 1),
            "joined": drained.utterances,
            "complete": drained.complete,
            "repeated": drained.repeated,
            "disordered": drained.disordered,
            "dead_letters": letters.total(),
            "lag_at_the_end": lag,
            "mb_before": idle,
            "mb_grown_once_steady": growth,
            "phases": {"screened": screening.as_json(), "joined": joining.as_json()},
            "sound": drained == Drained(total, total, drained.repeated, 0)
            and escalated == crises
            and not letters.total()
            and not any(lag.values())
            and all(growth[name] <= MAY_GROW_MB for name in services),
        }

    async def _phase(self, name: str, records: Records, topic: Topic) -> Phase:
        """Wait until every utterance has its record on a topic. Raises RuntimeError when nothing goes on."""
        phase, began = Phase(name), time.monotonic()
        before, moved = -1, began
        while (done := await records.count(topic)) < self._utterances:
            now = time.monotonic()
            before, moved = (done, now) if done > before else (before, moved)
            if now - moved > STUCK_S:
                raise RuntimeError(f"{done} of {self._utterances} {name}, and no more for {STUCK_S:.0f} s")
            held = await asyncio.to_thread(sample, self._pids)
            phase.samples.append((round(done / self._utterances, 3), held))
            if len(phase.samples) % 15 == 1:
                self._say(f"{name}: {done}; MB: {held}")
            await asyncio.sleep(SAMPLE_S)
        phase.seconds = time.monotonic() - began
        phase.samples.append((1.0, await asyncio.to_thread(sample, self._pids)))
        self._say(f"{name}: all, in {phase.seconds:.0f} s; MB: {phase.samples[-1][1]}")
        return phase

    async def _no_lag(self) -> dict[str, int]:
        """Wait until nothing is left to read; gives what is, if that does not come true."""
        deadline = time.monotonic() + STUCK_S
        kafka = self._system.endpoints.kafka
        while any((lag := await asyncio.to_thread(lag_of_groups, kafka)).values()) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(SAMPLE_S)
        return lag

    @contextmanager
    def _encoder(self) -> Iterator[None]:
        port = assign([ENCODER])[ENCODER]
        env = {
            **os.environ,
            **self._system.env,
            "MULTIMOOD_TEXT_ENCODER_TOKENIZER": str(tools() / "text_encoder" / "tokenizer.json"),
            "MULTIMOOD_HEALTH_PORT": str(port),
            "OMP_NUM_THREADS": "1",
        }
        service = next(service for service in SERVICES if service.name == ENCODER)
        process = ServiceProcess(service, self._folder / f"{ENCODER}.log", port, env)
        process.start()
        try:
            wait_ready(process, process.log, STUCK_S)
            assert process.child is not None
            self._pids[ENCODER] = process.child.pid
            yield
        finally:
            process.stop()


def run(utterances: int, folder: Path, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Do it in a folder of its own, from the main thread (see `Stack`). Gives the report."""
    env = {"MULTIMOOD_JOINER_DEADLINE_S": "3600"}
    with Stack(folder / "data", ("sentinel", "joiner"), ("kafka", "triton"), env=env) as system:
        return asyncio.run(Backlog(system, folder, utterances, say).run())


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=5_000)
    parser.add_argument("--report", type=Path, help="where to write the report as JSON")
    parser.add_argument("--data", type=Path, help="a new folder to keep the system's state and logs in")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="multimood-backlog-")))
        report = run(arguments.utterances, folder, lambda line: print(line, flush=True))
    if arguments.report is not None:
        arguments.report.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: value for name, value in report.items() if name != "phases"}, indent=1))
    return 0 if report["sound"] else 1


if __name__ == "__main__":
    sys.exit(main())
