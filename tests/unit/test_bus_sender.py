"""Sending until it is durable: what is waited for, what is refused, and when a producer is not believed any more."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from bus_fakes import CANARY, context

from multimood import topics
from multimood.bus import Publisher, sender
from multimood.bus.outbox import Record
from multimood.bus.sender import Sender
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError, UnsendableError
from multimood.settings import KafkaSettings

pytestmark = pytest.mark.unit


class Producer:
    """Fails as it is told."""

    made: ClassVar[list["Producer"]]
    start_failures: ClassVar[list[BaseException]]
    send_failures: ClassVar[list[BaseException]]
    batch_failures: ClassVar[list[BaseException]]
    hangs: ClassVar[bool]
    refuses: ClassVar[bytes]

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.sent: list[tuple[Any, ...]] = []
        self.stopped = False
        self.broken = False
        Producer.made.append(self)

    async def start(self) -> None:
        if Producer.start_failures:
            raise Producer.start_failures.pop(0)

    async def stop(self) -> None:
        self.stopped = True

    async def send_and_wait(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int | None, *, headers: Any
    ) -> None:
        if Producer.hangs:
            await asyncio.sleep(60)
        await asyncio.sleep(0)
        if Producer.refuses and (value == Producer.refuses or self.options["max_batch_size"] > 1):
            raise MessageSizeTooLargeError  # the batch, with whatever else is in it
        if self.broken:
            raise OutOfOrderSequenceNumber
        if Producer.send_failures:
            raise Producer.send_failures.pop(0)
        self.sent.append((topic, key, value, partition, headers))

    def create_batch(self) -> "Batch":
        return Batch()

    async def send_batch(self, batch: "Batch", topic: str, *, partition: int) -> asyncio.Future[None]:
        async def one_for_all() -> None:
            if Producer.refuses in batch.values:
                raise MessageSizeTooLargeError
            for record in batch.records:
                await self.send_and_wait(topic, record["value"], record["key"], partition, headers=record["headers"])

        if Producer.batch_failures:
            raise Producer.batch_failures.pop(0)
        return asyncio.ensure_future(one_for_all())


class Batch:
    """Room for two."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    @property
    def values(self) -> list[bytes]:
        return [record["value"] for record in self.records]

    def append(self, **record: Any) -> object | None:
        if len(self.records) == 2:
            return None
        self.records.append(record)
        return record


@pytest.fixture(autouse=True)
def _producers(monkeypatch: pytest.MonkeyPatch) -> None:
    Producer.made, Producer.start_failures, Producer.send_failures, Producer.hangs = [], [], [], False
    Producer.refuses, Producer.batch_failures = b"", []
    monkeypatch.setattr(sender, "Producer", Producer)
    monkeypatch.setattr(sender, "PAUSE_S", 0.001)
    monkeypatch.setattr(sender, "LONGEST_PAUSE_S", 0.002)


async def send(to: Sender, value: bytes | None = b"v", key: bytes | None = b"k", limit: int = 1000) -> None:
    await to.send("topic", key, value, [("h", b"1")], limit=limit)


async def test_it_asks_for_all_replicas_and_no_repetitions() -> None:
    one = Sender(KafkaSettings(brokers="a:1,b:2"))
    await send(one)
    (producer,) = Producer.made
    assert (producer.options["acks"], producer.options["enable_idempotence"]) == ("all", True)
    assert producer.options["bootstrap_servers"] == ["a:1", "b:2"]
    assert producer.sent == [("topic", b"k", b"v", None, [("h", b"1")])]


@pytest.mark.parametrize(
    "error",
    [KafkaConnectionError(), UnknownTopicOrPartitionError(), KafkaTimeoutError(), OutOfOrderSequenceNumber(),
     TopicAuthorizationFailedError()],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
async def test_whatever_is_about_the_broker_is_waited_out(error: Exception) -> None:
    Producer.send_failures = [error, error]
    one = Sender(KafkaSettings())
    await send(one)
    assert len(Producer.made[-1].sent) == 1


@pytest.mark.parametrize(
    ("error", "producers"),
    [(KafkaConnectionError, 1), (KafkaTimeoutError, 1), (OutOfOrderSequenceNumber, 2), (MessageSizeTooLargeError, 3)],
)
async def test_a_producer_that_lost_its_count_is_replaced(error: Callable[[], Exception], producers: int) -> None:
    one = Sender(KafkaSettings())
    Producer.send_failures = [error()]
    await send(one)
    await send(one)
    await asyncio.sleep(0)
    assert len(Producer.made) == producers
    assert Producer.made[0].stopped == (producers > 1)
    assert sum(len(producer.sent) for producer in Producer.made) == 2


async def test_what_is_refused_alone_too_can_never_be_sent_and_the_others_of_its_batch_can() -> None:
    one = Sender(KafkaSettings())
    Producer.refuses = b"large"
    results = await asyncio.gather(*(send(one, value) for value in (b"a", b"large", b"b")), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), UnsendableError, type(None)]
    assert str(results[1]) == "topic refused a record: MessageSizeTooLargeError"
    alone = [producer for producer in Producer.made if producer.options["max_batch_size"] == 1]
    assert len(alone) == 3
    assert all(producer.stopped for producer in alone)


async def test_many_that_fail_together_get_one_new_producer() -> None:
    one = Sender(KafkaSettings())
    await send(one)
    Producer.made[0].broken = True
    await asyncio.gather(*(send(one) for _ in range(20)))
    assert len(Producer.made) == 2
    assert sum(len(producer.sent) for producer in Producer.made) == 21


def letters(*values: bytes, limit: int = 1000) -> list[Record]:
    return [Record("topic", b"k", value, [("h", b"1")], limit, 3) for value in values]


async def test_many_at_once_are_sent_by_one_producer_and_each_is_told_its_fate() -> None:
    one = Sender(KafkaSettings())
    outcomes = await one.send_all([*letters(b"a", b"b"), *letters(b"x" * 100, limit=10), *letters(b"c")])
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), UnsendableError, type(None)]
    (producer,) = Producer.made
    assert sorted((value, partition) for _, _, value, partition, _ in producer.sent) == [
        (b"a", 3), (b"b", 3), (b"c", 3),
    ]  # fmt: skip
    assert await one.send_all([]) == []


@pytest.mark.parametrize("error", [KafkaConnectionError, OutOfOrderSequenceNumber, MessageSizeTooLargeError])
async def test_of_many_at_once_only_what_failed_is_sent_again(error: Callable[[], Exception]) -> None:
    one = Sender(KafkaSettings())
    Producer.send_failures = [error()]
    assert await one.send_all(letters(b"a", b"b", b"c")) == [None] * 3
    sent = {(value, partition) for producer in Producer.made for _, _, value, partition, _ in producer.sent}
    assert sent == {(b"a", 3), (b"b", 3), (b"c", 3)}


async def test_of_many_at_once_a_batch_that_cannot_even_be_begun_is_sent_again() -> None:
    one = Sender(KafkaSettings())
    Producer.batch_failures = [KafkaConnectionError()]
    assert await one.send_all(letters(b"a", b"b", b"c")) == [None] * 3
    assert sum(len(producer.sent) for producer in Producer.made) == 3


async def test_of_many_at_once_what_is_refused_condemns_no_other() -> None:
    one = Sender(KafkaSettings())
    Producer.refuses = b"large"
    outcomes = await one.send_all(letters(b"a", b"large", b"b"))
    assert [type(outcome) for outcome in outcomes] == [type(None), UnsendableError, type(None)]


async def test_many_at_once_wait_for_a_broker_that_is_not_there_yet() -> None:
    Producer.start_failures = [KafkaConnectionError(), OSError()]
    one = Sender(KafkaSettings())
    assert await one.send_all(letters(b"a", b"b")) == [None, None]


async def test_a_broker_that_is_not_there_yet_is_waited_for() -> None:
    Producer.start_failures = [KafkaConnectionError(), OSError()]
    one = Sender(KafkaSettings())
    await send(one)
    assert len(Producer.made) == 3
    assert [producer.stopped for producer in Producer.made] == [True, True, False]


async def test_too_large_is_known_before_it_is_sent_and_not_quoted() -> None:
    one = Sender(KafkaSettings())
    with pytest.raises(UnsendableError) as caught:
        await send(one, CANARY.encode() * 100, limit=1000)
    assert "at most 1000 are accepted" in str(caught.value)
    assert CANARY not in str(caught.value)
    assert Producer.made == []


async def test_neither_key_nor_value_can_be_sent_too() -> None:
    one = Sender(KafkaSettings())
    await send(one, None, None)
    assert Producer.made[0].sent[0][1:3] == (None, b"")


async def test_nobody_is_reachable_before_the_start() -> None:
    assert await Sender(KafkaSettings()).reachable() is False


async def test_publishing_gives_up_in_time_and_says_what_can_be_done() -> None:
    publisher = Publisher(KafkaSettings(), "test", timeout_s=0.02)
    await publisher.start()
    Producer.hangs = True
    with pytest.raises(UnavailableError, match=r"multimood.reply.v1 did not take an event within 0.02 s"):
        await publisher.publish(topics.REPLY, pb.Reply(context=context()))
    Producer.hangs = False
    await publisher.publish(topics.REPLY, pb.Reply(context=context()), event_id="own")
    (sent,) = Producer.made[-1].sent
    assert sent[:2] == ("multimood.reply.v1", b"t/c")
    assert ("ce_id", b"own") in sent[4]
    with pytest.raises(UnsendableError):
        await publisher.publish(topics.REPLY, pb.Reply(context=context(), text="x" * (1 << 20)))
    await publisher.stop()


async def test_publishing_needs_a_broker_at_the_start() -> None:
    Producer.start_failures = [KafkaConnectionError()]
    with pytest.raises(UnavailableError, match=r"connecting: no answer from .*:9092: KafkaConnectionError"):
        await Publisher(KafkaSettings(), "test").start()
