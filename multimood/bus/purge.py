"""A person's records on the broker, by kafka-python (a synchronous edge tool): found, and purged with their partition.

Kafka deletes from the beginning of a partition only, so what is purged is everybody's. That is safe for records that
every service has read, together with everything that was written because of them: `ends` are taken first, and purged to
only when everyone has read past what was there later still. Nothing is left then that could be read again and look for
its output. Escalations and acknowledgements, which hold no words, are not purged, nor are the steps of rollouts, which
are of nobody, nor are states: those are compacted.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from multimood import topics
from multimood.access import READERS
from multimood.bus.asking import answers_of
from multimood.bus.connection import kafka_python_options
from multimood.bus.envelope import encode_headers, output
from multimood.bus.filler import HEADERS, KEY, is_filler
from multimood.bus.letters import sort_letters
from multimood.bus.topic_settings import TopicSettings
from multimood.bus.traces import NAMING, IsTheirs, Traces, message_of
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.settings import KafkaSettings
from multimood.topics import DEAD_LETTER_ROOM, TOPICS

ANSWER_S: Final = 15.0
PAUSE_S: Final = 0.5
SILENCE_S: Final = 30.0
ROLL_MS: Final = 500
KEPT: Final = frozenset(
    {topics.ESCALATION, topics.ACKNOWLEDGEMENT, topics.CONVERSATION, topics.ERASURE, topics.ROLLOUT}
)
PURGED: Final = tuple(topic for topic in TOPICS if topic not in KEPT)
"""Topics that hold what was said, or what was made of it."""

Advance = Callable[[str], None]


class BrokerPurge:
    """Finds and purges. All methods raise UnavailableError when the broker does not answer, or refuses."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        brokers = kafka_python_options(self._settings)
        with self._answers():
            self._admin = self._closed(KafkaAdminClient(**brokers))
            self.settings = TopicSettings(self._admin, self._settings)
            rack = self._settings.client_rack
            self._consumer = self._closed(KafkaConsumer(**brokers, client_rack=rack, enable_auto_commit=False))
            self._producer = self._closed(
                KafkaProducer(
                    **brokers, acks="all", max_request_size=self._settings.max_message_bytes + 2 * DEAD_LETTER_ROOM
                )
            )
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def _closed(self, client: Any) -> Any:
        self._stack.callback(client.close)
        return client

    # --- finding ---------------------------------------------------------------------------------------------------

    def find(self, is_theirs: IsTheirs, advance: Advance = lambda _topic: None) -> Traces:
        """Look through the topics that name persons, and the dead letters."""
        found = Traces(is_theirs)
        with self._answers():
            for topic in NAMING:
                advance(topic.name)
                for record in self._records(topic.name):
                    found.see(topic, record)
            for topic in TOPICS:
                advance(topic.dead_letters)
                for record in self._records(topic.dead_letters):
                    found.see_letter(topic, record)
        return found

    # --- telling and waiting ---------------------------------------------------------------------------------------

    def tell(self, conversations: Mapping[bytes, pb.Context], erased_at_us: int) -> None:
        """Say to whoever keeps something of a conversation that it is erased."""
        with self._answers():
            sent = []
            for key, context in conversations.items():
                named = pb.Context(
                    tenant=context.tenant,
                    conversation_id=context.conversation_id,
                    utterance_id=f"erasure-{erased_at_us}",
                )
                out = output(topics.ERASURE, pb.Erasure(context=named, erased_at_us=erased_at_us))
                headers = encode_headers(out, "erase")
                sent.append(self._producer.send(topics.ERASURE.name, out.message.SerializeToString(), key, headers))
            for one in sent:
                one.get(ANSWER_S)

    def ends(self, partitions: Sequence[int]) -> dict[TopicPartition, int]:
        """Where these partitions of every topic end now."""
        with self._answers():
            places = [TopicPartition(t.name, p) for t in TOPICS for p in partitions if self._has(t.name, p)]
            return dict(self._consumer.end_offsets(places)) if places else {}

    def unread(self, ends: Mapping[TopicPartition, int], within_s: float) -> dict[str, int]:
        """Wait until every service has read so far; gives who has not, and how many records each has still to read.

        A service of which the broker knows nothing is none that could read anything again.
        """
        until = time.monotonic() + within_s
        while True:
            with self._answers():
                lag = self._lag(ends) if ends else {}
            if not lag or time.monotonic() >= until:
                return lag
            time.sleep(PAUSE_S)

    def _lag(self, ends: Mapping[TopicPartition, int]) -> dict[str, int]:
        prefix = f"{self._settings.group_prefix}."
        known = [group["group_id"] for group in self._admin.list_groups()]
        committed = self._admin.list_group_offsets([one for one in known if one.startswith(prefix)])
        firsts = self._consumer.beginning_offsets(list(ends))
        lag: dict[str, int] = {}
        for place, end in ends.items():
            for service in READERS.get(place.topic, ()):
                offsets = committed.get(prefix + service)
                if not offsets:
                    continue
                read = offsets[place].offset if place in offsets else -1
                behind = end - max(read, firsts[place])
                if behind > 0:
                    lag[service] = lag.get(service, 0) + behind
        return lag

    # --- purging ---------------------------------------------------------------------------------------------------

    def roll(self, places: Sequence[tuple[str, int]]) -> dict[TopicPartition, int]:
        """Begin another file in these partitions; gives the offsets at which they begin."""
        names = sorted({topic for topic, _ in places})
        with self._answers(), self.settings.changed(names, {"segment.ms": str(ROLL_MS)}):
            time.sleep(2 * ROLL_MS / 1000)  # a younger file than that would not be closed
            sent = [self._producer.send(topic, b"", KEY, HEADERS, partition) for topic, partition in places]
            return {
                TopicPartition(found.topic, found.partition): found.offset for found in (s.get(ANSWER_S) for s in sent)
            }

    def purge(self, ends: Mapping[TopicPartition, int]) -> None:
        """Delete what lies before these offsets."""
        if ends:
            with self._answers():
                self._admin.delete_records(dict(ends), timeout_ms=int(ANSWER_S * 1000))

    def rewrite_letters(self, traces: Traces) -> int:
        """Purge a person's dead letters; those of others that wait are written again first. Gives how many those are.

        Broken off in between, a letter of others may be there twice: its replay is recognised by its id.
        """
        begins, kept = self.roll(sorted(traces.dead)), 0
        with self._answers():
            for place, end in begins.items():
                topic = next(topic for topic in TOPICS if topic.dead_letters == place.topic)
                waiting = {letter.place.offset for letter in sort_letters(self._between(place, end)).waiting}
                for record in self._between(place, end):
                    if record.offset in waiting and not traces.owns_letter(topic, record):
                        again = (record.value, record.key, record.headers, place.partition)
                        self._producer.send(place.topic, *again).get(ANSWER_S)
                        kept += 1
        self.purge(begins)
        return kept

    def compacted(self, keys: Mapping[bytes, pb.Context], partitions: Sequence[int], within_s: float) -> bool:
        """Make the broker compact the states of these partitions now; tells whether nothing said is left in them."""
        if not keys:
            return True
        hurry = {"max.compaction.lag.ms": "1", "min.cleanable.dirty.ratio": "0.0"}
        until = time.monotonic() + within_s
        with self._answers(), self.settings.changed([topics.CONVERSATION.name], hurry):
            while (left := self._holding(keys, partitions)) and time.monotonic() < until:
                time.sleep(PAUSE_S)
        return not left

    def _holding(self, keys: Mapping[bytes, pb.Context], partitions: Sequence[int]) -> int:
        name = topics.CONVERSATION.name
        records = (record for p in partitions for record in self._between(TopicPartition(name, p)))
        states = (message_of(topics.CONVERSATION, record.value) for record in records if record.key in keys)
        return sum(bool(state is not None and state.turns) for state in states)

    # --- below -----------------------------------------------------------------------------------------------------

    def _has(self, name: str, partition: int) -> bool:
        return partition in (self._consumer.partitions_for_topic(name) or ())

    def _records(self, name: str) -> Iterator[Any]:
        for partition in sorted(self._consumer.partitions_for_topic(name) or ()):
            yield from self._between(TopicPartition(name, partition))

    def _between(self, place: TopicPartition, end: int | None = None) -> Iterator[Any]:
        """A partition's records before an offset, or all that there are now; fillers left out."""
        consumer = self._consumer
        consumer.assign([place])
        last = consumer.end_offsets([place])[place] if end is None else end
        position = consumer.beginning_offsets([place])[place]
        if position >= last:
            return
        consumer.seek(place, position)
        heard = time.monotonic()
        while position < last:
            for record in consumer.poll(timeout_ms=500).get(place, ()):
                if record.offset < last and not is_filler(record):
                    yield record
            before, position = position, consumer.position(place)
            heard = time.monotonic() if position > before else heard
            if time.monotonic() - heard > SILENCE_S:
                raise UnavailableError(f"{self._settings.brokers} gave nothing of {place.topic} for {SILENCE_S:g} s")

    def _answers(self) -> contextlib.AbstractContextManager[None]:
        return answers_of(self._settings, "erasing")
