"""One service on the bus against a real broker: what it answers, gives up, refuses, repeats, and says of itself."""

import asyncio
import json
import re
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from bus_harness import PARTITIONS, Service, Writer, create, header_of, utterance, wait_committed, wait_records
from bus_log import records_of
from bus_service import SERVICE, topics_of

from multimood.bus.envelope import output
from multimood.bus.letters import Letter
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.kafka import KafkaServer
from multimood.topics import key_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CANARY = "nobody may read this aloud"
BROKERS_LIMIT = 1 << 16
"""The broker takes less than the service believes: that is how a refusal is had."""


@pytest.fixture(scope="module")
def run(kafka: KafkaServer) -> str:
    name = f"svc{secrets.token_hex(3)}"
    said, answered = topics_of(name)
    create(kafka.brokers, (said, replace(answered, max_message_bytes=BROKERS_LIMIT)))
    return name


@pytest.fixture(scope="module")
def service(kafka: KafkaServer, run: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    env = {"MULTIMOOD_ECHO_RUN": run, "MULTIMOOD_KAFKA_GROUP_PREFIX": run}
    process = Service("bus_service", kafka.brokers, tmp_path_factory.mktemp(run), "echo", env).start()
    try:
        yield process.wait_ready()
    finally:
        process.kill()


@pytest.fixture
async def writer(kafka: KafkaServer) -> AsyncIterator[Writer]:
    async with Writer(kafka.brokers) as open_writer:
        yield open_writer


async def answer_to(brokers: str, run: str, said: pb.Utterance, within_s: float = 15.0) -> list[tuple[Any, pb.Reply]]:
    """Records and replies that belong to an utterance, as soon as there is one."""
    _, answered = topics_of(run)
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        found = [(record, pb.Reply.FromString(record.value)) for record in await records_of(brokers, [answered.name])]
        mine = [pair for pair in found if pair[1].context.utterance_id == said.context.utterance_id]
        if mine:
            return mine
        assert asyncio.get_running_loop().time() < deadline, "no answer"
        await asyncio.sleep(0.2)


async def letter_of(brokers: str, run: str, sent: Any, within_s: float = 15.0) -> tuple[Letter, Any]:
    """The dead letter of a record, as soon as there is one, and the record that it is."""
    said, _ = topics_of(run)
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        for record in await records_of(brokers, [said.dead_letters]):
            letter = Letter.of(record)
            if (letter.origin.partition, letter.origin.offset) == (sent.partition, sent.offset):
                return letter, record
        assert asyncio.get_running_loop().time() < deadline, "no dead letter"
        await asyncio.sleep(0.2)


async def test_poison_becomes_a_dead_letter_with_everything_it_had(
    kafka: KafkaServer, run: str, service: Service, writer: Writer
) -> None:
    said, _ = topics_of(run)
    poison = utterance(run, "p", "poison", f"poison:{CANARY}")
    behind, beside = utterance(run, "p", "behind"), utterance(run, "q", "beside")
    sent, *_ = await writer.say(said, poison, behind, beside)
    letter, record = await letter_of(kafka.brokers, run, sent)
    await answer_to(kafka.brokers, run, behind)
    await answer_to(kafka.brokers, run, beside)

    assert record.value == poison.SerializeToString()
    assert record.key == f"t/{run}-cp".encode()
    assert letter.event_id == output(said, poison).id
    assert (letter.reason, letter.error, letter.service, letter.attempts) == ("ValueError", "ValueError", SERVICE, 1)
    assert (letter.origin.topic, letter.utterance_id) == (said.name, f"{run}-poison")
    assert header_of(record, "ce_type") == said.name
    assert not any(CANARY.encode() in value for _, value in record.headers)
    assert CANARY not in service.log.read_text()


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b"\xff\xff\xff", b"t/c"),
        (None, b"t/c"),
        (pb.Utterance(text=CANARY).SerializeToString(), b"/"),
        (utterance("r", "c", "1", CANARY).SerializeToString(), b"t/another"),
        (utterance("r", "c", "1", CANARY).SerializeToString(), None),
    ],
    ids=["no protobuf", "no value", "no tenant", "another key", "no key"],
)
@pytest.mark.usefixtures("service")
async def test_what_cannot_be_decoded_becomes_a_dead_letter_as_it_is(
    kafka: KafkaServer, run: str, writer: Writer, value: bytes | None, key: bytes | None
) -> None:
    said, _ = topics_of(run)
    sent = await writer.raw(said, value, key, [("ce_id", b"an id"), ("own", b"\x00\xfe")])
    letter, record = await letter_of(kafka.brokers, run, sent)
    assert (record.value, record.key) == (value, key)
    assert (letter.reason, letter.event_id) == ("invalid_event", "an id")
    assert ("own", b"\x00\xfe") in record.headers
    assert CANARY not in letter.error


async def test_a_dependency_that_comes_back_in_time_costs_nothing_but_time(
    kafka: KafkaServer, run: str, service: Service, writer: Writer
) -> None:
    said, answered = topics_of(run)
    flaky, behind = utterance(run, "f", "flaky", "flaky:3"), utterance(run, "f", "after flaky")
    await writer.say(said, flaky, behind)
    await answer_to(kafka.brokers, run, behind)
    ids = [pb.Reply.FromString(r.value).context.utterance_id for r in await records_of(kafka.brokers, [answered.name])]
    assert ids.index(f"{run}-flaky") < ids.index(f"{run}-after flaky"), "the conversation lost its order"


async def test_a_dependency_that_stays_away_is_given_up_within_the_budget(
    kafka: KafkaServer, run: str, service: Service, writer: Writer
) -> None:
    said, _ = topics_of(run)
    never, behind = utterance(run, "n", "never", "never"), utterance(run, "n", "after never")
    beside = [utterance(run, f"x{number}", f"x{number}") for number in range(8)]
    await writer.say(said, never, behind, *beside)
    for message in beside:
        await answer_to(kafka.brokers, run, message, within_s=4)
    ((_, reply),) = await answer_to(kafka.brokers, run, never)
    assert reply.reason == "gave_up"
    await answer_to(kafka.brokers, run, behind, within_s=5)


async def test_a_budget_that_runs_out_with_no_way_round_ends_in_a_dead_letter(
    kafka: KafkaServer, run: str, service: Service, writer: Writer
) -> None:
    said, _ = topics_of(run)
    (sent,) = await writer.say(said, utterance(run, "nn", "never at all", "never at all"))
    letter, _ = await letter_of(kafka.brokers, run, sent)
    assert (letter.reason, letter.error) == ("unavailable", "nor is there anything else")
    assert letter.attempts > 3


async def test_what_can_never_work_is_not_tried_again(
    kafka: KafkaServer, run: str, service: Service, writer: Writer
) -> None:
    said, _ = topics_of(run)
    (sent,) = await writer.say(said, utterance(run, "i", "refuse", "refuse"))
    letter, _ = await letter_of(kafka.brokers, run, sent)
    assert (letter.reason, letter.error, letter.attempts) == ("invalid_media", "the audio is no audio", 1)


@pytest.mark.parametrize("size", [200_000, 100_000], ids=["known beforehand", "refused by the broker"])
async def test_an_answer_that_cannot_be_sent_is_a_dead_letter_and_the_next_one_can(
    kafka: KafkaServer, run: str, service: Service, writer: Writer, size: int
) -> None:
    said, _ = topics_of(run)
    # All in one partition: a producer that was refused a record has lost its count there.
    talk = [utterance(run, "l", f"l{size}-{number}") for number in range(20)]
    sent = await writer.say(said, talk[0], utterance(run, "l", f"large{size}", f"large:{size}"), *talk[1:])
    assert (await letter_of(kafka.brokers, run, sent[1]))[0].reason == "unsendable"
    for message in talk:
        await answer_to(kafka.brokers, run, message)
    assert len({record.partition for record in sent}) == 1


async def test_a_record_larger_than_any_that_may_be_sent_leaves_a_note(
    kafka: KafkaServer, run: str, service: Service
) -> None:
    said, _ = topics_of(run)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.brokers, compression_type="gzip", max_request_size=8 << 20)
    await producer.start()
    try:
        sent = await producer.send_and_wait(
            said.name, b"\x00" * (4 << 20), key=b"t/c", headers=[("ce_id", b"bomb"), ("ce_big", b"\x00" * (1 << 20))]
        )
    finally:
        await producer.stop()
    letter, record = await letter_of(kafka.brokers, run, sent)
    assert (letter.whole, record.value, letter.event_id) == (False, None, "bomb")
    assert header_of(record, "mm_without_value") == str(4 << 20)
    assert (letter.reason, record.key) == ("invalid_event", b"t/c")


async def test_the_trace_goes_on(kafka: KafkaServer, run: str, service: Service, writer: Writer) -> None:
    said, _ = topics_of(run)
    trace_id = secrets.token_hex(16)
    traced, untraced = utterance(run, "t", "traced", CANARY), utterance(run, "t", "untraced")
    await writer.say(said, traced, traceparent=f"00-{trace_id}-{'1' * 16}-01")
    await writer.say(said, untraced)
    ((record, _),) = await answer_to(kafka.brokers, run, traced)
    version, found_trace, span, flags = header_of(record, "traceparent").split("-")
    assert (version, found_trace, flags) == ("00", trace_id, "01")
    assert span != "1" * 16
    ((record, _),) = await answer_to(kafka.brokers, run, untraced)
    assert not header_of(record, "traceparent")

    spans = service.spans / f"{SERVICE}.spans.jsonl"
    for _ in range(50):
        if spans.exists() and trace_id in spans.read_text():
            break
        await asyncio.sleep(0.1)
    (mine,) = [json.loads(line) for line in spans.read_text().splitlines() if trace_id in line]
    assert mine["parent_id"] == f"0x{'1' * 16}"
    assert mine["attributes"]["multimood.outcome"] == "done"
    assert CANARY not in spans.read_text()


async def test_it_tells_how_it_is(kafka: KafkaServer, run: str, service: Service, writer: Writer) -> None:
    said, _ = topics_of(run)
    message = utterance(run, "m", "measured", CANARY)
    await writer.say(said, message)
    await answer_to(kafka.brokers, run, message)
    status, body = service.ask("/readyz")
    assert (status, json.loads(body)["ok"]) == (200, True)
    assert set(json.loads(body)["checks"]) == {"broker", "authorised", "consuming", "taken_over", "not_draining"}
    status, body = service.ask("/healthz")
    assert (status, json.loads(body)["checks"]) == (200, {"not_crashed": True, "progressing": True})
    status, body = service.ask("/metrics")
    assert status == 200
    assert re.search(
        f'multimood_events_total{{.*outcome="done".*service="{SERVICE}".*topic="{said.name}".*}} [1-9]', body
    )
    assert "multimood_hop_duration_milliseconds_bucket" in body
    assert CANARY not in body


async def test_the_same_event_twice_is_answered_once_even_after_a_restart(
    kafka: KafkaServer, run: str, service: Service, writer: Writer
) -> None:
    said, _ = topics_of(run)
    message = utterance(run, "d", "twice")
    await writer.say(said, message, message)
    await answer_to(kafka.brokers, run, message)
    await wait_committed(kafka.brokers, f"{run}.{SERVICE}", said)
    service.send(signal.SIGTERM)
    assert await asyncio.to_thread(service.wait, 15) == 0
    await asyncio.to_thread(service.start().wait_ready)
    await writer.say(said, message)
    await wait_committed(kafka.brokers, f"{run}.{SERVICE}", said)
    assert len(await answer_to(kafka.brokers, run, message)) == 1


async def test_the_first_record_of_an_idle_partition_is_not_held_up(
    kafka: KafkaServer, run: str, service: Service, writer: Writer
) -> None:
    said, answered = topics_of(run)
    service.send(signal.SIGTERM)
    assert await asyncio.to_thread(service.wait, 15) == 0
    await asyncio.to_thread(service.start().wait_ready)
    asked: dict[str, int] = {}
    for partition in range(PARTITIONS):
        await asyncio.sleep(0.6)  # a fetch that finds nothing is on its way again
        message = utterance(run, f"idle{partition}", f"idle{partition}")
        sent = await writer._producer.send_and_wait(
            said.name, message.SerializeToString(), key_of(message.context), partition
        )
        asked[message.context.utterance_id] = sent.timestamp
    await answer_to(kafka.brokers, run, message)
    waits = {}
    for record in await records_of(kafka.brokers, [answered.name]):
        name = pb.Reply.FromString(record.value).context.utterance_id
        if name in asked:
            waits[name] = record.timestamp - asked[name]
    # A busy machine may hold up one or two; what this is about holds up the first of each partition.
    assert sorted(waits.values())[PARTITIONS // 2 - 1] < 200, waits


async def test_it_ends_what_it_began_and_leaves_the_rest(
    kafka: KafkaServer, run: str, service: Service, writer: Writer
) -> None:
    said, _ = topics_of(run)
    slow, behind = utterance(run, "s", "slow", "slow:1.5"), utterance(run, "s", "after slow", "slow:4")
    await writer.say(said, slow, behind)
    await asyncio.sleep(0.5)
    service.send(signal.SIGTERM)
    await asyncio.sleep(0.5)
    assert service.ask("/readyz")[0] == 503
    assert service.checks()["not_draining"] is False
    assert service.ask("/healthz")[0] == 200
    # The second one is cut off: it may take longer than the grace.
    assert await asyncio.to_thread(service.wait, 3 + 6) == 0
    await answer_to(kafka.brokers, run, slow, within_s=1)
    with pytest.raises(AssertionError, match="no answer"):
        await answer_to(kafka.brokers, run, behind, within_s=0.1)
    await asyncio.to_thread(service.start().wait_ready)
    await answer_to(kafka.brokers, run, behind)
    await wait_records(kafka.brokers, said.name, 1)
