"""The dead-letter topics on the broker, by kafka-python (a synchronous edge tool): looked into, replayed, dropped."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Self

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from multimood.bus.asking import answers_of
from multimood.bus.connection import kafka_python_options
from multimood.bus.letters import DROPPED, RECEIPT, Letter, Letters, Place, receipt_of, replay_of, sort_letters
from multimood.errors import ConfigurationError, NotFoundError
from multimood.settings import KafkaSettings
from multimood.topics import DEAD_LETTER_ROOM, TOPICS, Topic

ANSWER_S: Final = 10.0
SUFFIX: Final = ".dlq"


class DeadLetters:
    """Reads dead letters, brings them back, or gives them up.

    All methods raise UnavailableError when the broker does not answer.
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[Topic] = TOPICS) -> None:
        self._settings = settings
        self._topics = {topic.dead_letters: topic for topic in topics}
        self._consumer: Any = None
        self._producer: Any = None

    def __enter__(self) -> Self:
        with self._answers():
            self._consumer = KafkaConsumer(
                **kafka_python_options(self._settings),
                client_rack=self._settings.client_rack,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
        return self

    def __exit__(self, *_exception: object) -> None:
        for client in (self._consumer, self._producer):
            if client is not None:
                client.close()

    def letters(self, topic: str | None = None) -> Letters:
        """All letters, or those of one topic (named as itself or as its dead-letter topic).

        Raises ConfigurationError for a topic that has no dead letters.
        """
        names = list(self._topics) if topic is None else [topic if topic.endswith(SUFFIX) else topic + SUFFIX]
        if names[0] not in self._topics:
            raise ConfigurationError(f"{topic} is none of the topics: see `multimood topics ls`")
        with self._answers():
            return sort_letters(self._records(names))

    def record_of(self, letter: Letter) -> Any:
        """The letter itself, or the original where only a note could be left.

        Raises NotFoundError when it is not kept any more.
        """
        place = letter.place if letter.whole else letter.origin
        with self._answers():
            tp = TopicPartition(place.topic, place.partition)
            found = next(self._between(tp, place.offset, place.offset + 1), None)
        if found is None:
            raise NotFoundError(f"{place} is not kept any more: letter {letter.place} cannot be read")
        return found

    def replay(self, letter: Letter) -> Place:
        """Publish the original again and leave a receipt; gives where it went.

        Killed in between, it is published again by the next replay: the services recognise it by its id. Raises
        ConfigurationError when the letter names another topic than the one whose dead letter it is.
        """
        topic = self._topics.get(letter.place.topic)
        if topic is None or letter.origin.topic != topic.name:
            raise ConfigurationError(f"letter {letter.place} says it comes from {letter.origin.topic!r}: not replayed")
        back = replay_of(letter, self.record_of(letter))
        with self._answers():
            producer = self._connected()
            partition = back.partition if back.partition in producer.partitions_for(back.topic) else None
            sent = producer.send(back.topic, back.value, back.key, back.headers, partition).get(ANSWER_S)
            self._leave_receipt(letter, RECEIPT)
        return Place(sent.topic, sent.partition, sent.offset)

    def drop(self, letter: Letter) -> None:
        """Give a letter up: it is listed and replayed no more. Its record stays until the topic's retention ends."""
        with self._answers():
            self._leave_receipt(letter, DROPPED)

    def _leave_receipt(self, letter: Letter, name: str) -> None:
        place, receipt = letter.place, receipt_of(letter, name)
        self._connected().send(place.topic, b"", None, receipt, place.partition).get(ANSWER_S)

    def _connected(self) -> Any:
        if self._producer is None:
            self._producer = KafkaProducer(
                **kafka_python_options(self._settings),
                acks="all",
                max_request_size=self._settings.max_message_bytes + 2 * DEAD_LETTER_ROOM,
            )
        return self._producer

    def _records(self, names: Sequence[str]) -> Iterator[Any]:
        for name in names:
            for partition in sorted(self._consumer.partitions_for_topic(name) or ()):
                tp = TopicPartition(name, partition)
                yield from self._between(tp, 0, self._consumer.end_offsets([tp])[tp])

    def _between(self, tp: TopicPartition, begin: int, end: int) -> Iterator[Any]:
        """Yield a partition's records from one offset to before another, as far as they are kept."""
        consumer = self._consumer
        consumer.assign([tp])
        last = min(end, consumer.end_offsets([tp])[tp])
        position = max(begin, consumer.beginning_offsets([tp])[tp])
        if position >= last:
            return
        consumer.seek(tp, position)
        while position < last:
            for record in consumer.poll(timeout_ms=500).get(tp, ()):
                if record.offset < last:
                    yield record
            position = consumer.position(tp)

    def _answers(self) -> AbstractContextManager[None]:
        return answers_of(self._settings, "dead letters")
