"""Reading everything there is about utterances: the experience log, the dead letters, then partition by partition.

The records of an utterance lie in the same partition number of every topic, so one partition's utterances are held at a
time. The utterance topic is read first: what is found there has had the longest time to come to an outcome.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.errors import KafkaError

from multimood import topics
from multimood.audit.summary import Summary
from multimood.audit.verdict import Facts, Ledger, Verdict, name_of
from multimood.bus.envelope import decode, event_id
from multimood.bus.filler import is_filler
from multimood.bus.letters import Letter, Place, sort_letters
from multimood.bus.probe import why
from multimood.bus.tail import PartitionTail
from multimood.errors import InvalidEventError
from multimood.experience import Bucket, Pseudonyms, rows
from multimood.settings import KafkaSettings, PseudonymSettings, StoreSettings
from multimood.topics import TOPICS, Topic

SILENT: Final = frozenset(
    {
        topics.ACKNOWLEDGEMENT, topics.CONVERSATION, topics.ERASURE, topics.FEEDBACK, topics.TRANSCRIPT, topics.ROLLOUT,
    }
)  # fmt: skip
TELLING: Final = tuple(topic for topic in TOPICS if topic not in SILENT)
"""Topics that say something about an outcome; the utterances first."""


async def audit(
    kafka: KafkaSettings, store: StoreSettings, *, confirmed: Collection[str] = (), grace_s: float = 0.0
) -> Summary:
    """Judge every utterance that the topics still hold.

    Rows are found by their pseudonyms, so the key must be the reward service's. `confirmed`: utterance ids that
    somebody was told are accepted; those on no topic are lost. `grace_s`: younger ones may still be on their way.
    Memory: one partition's utterances, the ids of all rows, the names of all letters. Raises UnavailableError, and what
    the log's reader raises.
    """
    logged = await asyncio.to_thread(_logged, store)
    pseudonyms = Pseudonyms.of(PseudonymSettings(), store)
    tail = PartitionTail(kafka)
    try:
        await tail.start()
        return await _Reading(tail, logged, pseudonyms, time.time() * 1000 - grace_s * 1000, set(confirmed)).run()
    except (KafkaError, OSError) as error:
        raise await why(error, kafka, "reading the topics") from None
    finally:
        await tail.stop()


def _logged(store: StoreSettings) -> Counter[str]:
    """How often each row id is in the log."""
    with Bucket(store) as bucket:
        return Counter(str(row["row_id"]) for row in rows(bucket))


@dataclass(slots=True)
class _Reading:
    tail: PartitionTail
    logged: Mapping[str, int]
    pseudonyms: Pseudonyms
    settled_before_ms: float
    confirmed: set[str]

    async def run(self) -> Summary:
        summary = Summary()
        counts = await self.tail.partitions([*TELLING, *(_dead(topic) for topic in TOPICS)])
        letters = await self._letters(counts)
        for partition in range(counts[topics.UTTERANCE.name]):
            ledger = Ledger()
            for topic in TELLING:
                if partition < counts[topic.name]:
                    summary.unreadable += await self._gather(ledger, topic, partition)
            for verdict, facts in self._judged(ledger, letters):
                summary.add(verdict, facts)
                self.confirmed.discard(verdict.name.rpartition("/")[2])
        summary.add_unfound(sorted(self.confirmed))
        return summary

    def _judged(
        self, ledger: Ledger, letters: Mapping[str, Sequence[tuple[Letter, bool]]]
    ) -> Iterator[tuple[Verdict, Facts]]:
        for name in ledger.names():
            for letter, dropped in letters.get(name, ()):
                ledger.see_letter(name, letter, dropped=dropped)
            # The first version of the log had the decision's event id itself.
            ids = {self.pseudonyms.row(name), event_id(name, topics.DECISION)}
            if count := sum(self.logged.get(one, 0) for one in ids):
                ledger.see_row(name, count)
        return ledger.verdicts(int(self.settled_before_ms))

    async def _gather(self, ledger: Ledger, topic: Topic, partition: int) -> int:
        """Take a partition's records; gives how many could not be decoded."""
        unreadable = 0
        async for record in self.tail.read(topic, partition):
            if is_filler(record):
                continue
            try:
                event = decode(topic, record.value, record.headers, record.key, 0)
            except InvalidEventError:
                if topic is topics.UTTERANCE:
                    ledger.see_unreadable(str(Place(topic.name, partition, record.offset)), record.timestamp)
                else:
                    unreadable += 1
                continue
            ledger.see(topic, event.message, record.timestamp)
        return unreadable

    async def _letters(self, counts: Mapping[str, int]) -> dict[str, list[tuple[Letter, bool]]]:
        """The letters that wait, and those that were dropped, by the name of the utterance they belong to."""
        found: dict[str, list[tuple[Letter, bool]]] = {}
        for topic in TOPICS:
            names: dict[str, str] = {}
            kept = []
            async for record in self._records(_dead(topic), counts[topic.dead_letters]):
                names[str(Place(record.topic, record.partition, record.offset))] = _addressee(topic, record)
                kept.append(_Bare(record.topic, record.partition, record.offset, record.headers))
            letters = sort_letters(kept)
            for letter, dropped in [(x, False) for x in letters.waiting] + [(x, True) for x in letters.dropped]:
                found.setdefault(names[str(letter.place)], []).append((letter, dropped))
        return found

    async def _records(self, topic: Topic, partitions: int) -> AsyncIterator[Any]:
        for partition in range(partitions):
            async for record in self.tail.read(topic, partition):
                yield record


@dataclass(frozen=True, slots=True)
class _Bare:
    """A dead letter without its content."""

    topic: str
    partition: int
    offset: int
    headers: Any


def _dead(topic: Topic) -> Topic:
    return Topic(topic.dead_letters, topic.message, topic.retention_ms)


def _addressee(topic: Topic, record: Any) -> str:
    """Whose the record was, as far as it says; else the place where it lay."""
    letter = Letter.of(record)
    try:
        return name_of(decode(topic, record.value, record.headers, record.key, 0).message.context)  # type: ignore[attr-defined]
    except InvalidEventError:
        key = (record.key or b"").decode("utf-8", "replace")
        is_known = topic is not topics.UTTERANCE and key and letter.utterance_id
        return f"{key}/{letter.utterance_id}" if is_known else str(letter.origin)
