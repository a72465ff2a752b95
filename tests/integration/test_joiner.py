"""The joiner as processes against a real broker: parts in any order, twice, late or never, and kills."""

import asyncio
import random
import secrets
import signal
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from bus_harness import Service, Writer, header_of, wait_committed
from bus_log import records_of

from multimood import topics
from multimood.bus.admin import apply_topics
from multimood.bus.envelope import Event, output
from multimood.bus.letters import Letter
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.kafka import KafkaServer
from multimood.settings import KafkaSettings
from multimood.topics import Topic, key_of
from services.joiner.agent import INPUTS
from services.joiner.features import SERVICE, joined_output

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

UTTERANCES = 300
DEADLINE_S = 4.0
CANARY = "nobody may read this aloud"

Part = tuple[Topic, Any]


@pytest.fixture(scope="module")
def run(kafka: KafkaServer) -> str:
    apply_topics(KafkaSettings(brokers=kafka.brokers))
    return f"join{secrets.token_hex(3)}"


@pytest.fixture(scope="module")
def joiners(kafka: KafkaServer, run: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Service]]:
    env = {"MULTIMOOD_KAFKA_GROUP_PREFIX": run, "MULTIMOOD_JOINER_DEADLINE_S": str(DEADLINE_S)}
    folder = tmp_path_factory.mktemp(run)
    services = [Service("services.joiner", kafka.brokers, folder, f"joiner{n}", env).start() for n in range(2)]
    try:
        yield [service.wait_ready() for service in services]
    finally:
        for service in services:
            service.kill()


def context(run: str, number: int) -> pb.Context:
    return pb.Context(tenant="t", conversation_id=f"{run}-c{number % 30}", utterance_id=f"{run}-{number}")


def embedding(about: pb.Context, modality: pb.Modality, topic: Topic) -> Part:
    return topic, pb.Embedding(context=about, modality=modality, vector=bytes(4 * 384), shape=[384], model_name="m")


def parts_of(run: str, number: int) -> list[Part]:
    """An utterance with text and what every service makes of it; every second one was spoken, and filmed too."""
    about = context(run, number)
    parts = [(topics.SCREENING, pb.Screening(context=about, level=pb.RISK_LEVEL_NONE, version="1"))]
    parts.append(embedding(about, pb.MODALITY_TEXT, topics.EMBEDDING_TEXT))
    if number % 2:
        said = pb.Utterance(context=about, manifest=[pb.MODALITY_AUDIO, pb.MODALITY_VIDEO])
        parts.append((topics.TRANSCRIPT, pb.Transcript(context=about, text=f"{CANARY} {number}")))
        parts.append(embedding(about, pb.MODALITY_AUDIO, topics.EMBEDDING_AUDIO))
        parts.append(embedding(about, pb.MODALITY_VIDEO, topics.EMBEDDING_VIDEO))
    else:
        said = pb.Utterance(context=about, manifest=[pb.MODALITY_TEXT], text=f"{CANARY} {number}")
    return [(topics.UTTERANCE, said), *parts]


def expected(parts: Sequence[Part]) -> pb.Features:
    events = {topic.name: Event(topic, message, "", key_of(message.context), "", 0) for topic, message in parts}
    joined = pb.Features.FromString(joined_output(events, pb.Hop()).message.SerializeToString())
    del joined.hops[:]
    return joined


def is_dropped(part: Part, number: int) -> bool:
    """One in ten utterances never gets its text's embedding, another one no verdict."""
    return (number % 10 == 3 and part[0] is topics.EMBEDDING_TEXT) or (number % 10 == 6 and part[0] is topics.SCREENING)


async def publish(brokers: str, run: str) -> dict[int, pb.Features]:
    """Publish all parts in a random order within a moving window, some twice; gives what has to come out."""
    chance = random.Random(5)
    sent = {n: [part for part in parts_of(run, n) if not is_dropped(part, n)] for n in range(UTTERANCES)}
    # Each part a little after its utterance's turn; the utterance itself may come last.
    order = [(number + chance.uniform(0, 25), part) for number, parts in sent.items() for part in parts]
    order += [(at + chance.uniform(0, 60), part) for at, part in chance.sample(order, len(order) // 10)]
    async with Writer(brokers) as writer:
        for index, (_, (topic, message)) in enumerate(sorted(order, key=lambda entry: entry[0])):
            await writer.say(topic, message)
            if index % 10 == 0:
                await asyncio.sleep(0.08)
    return {number: expected(parts) for number, parts in sent.items()}


async def kill_them(joiners: list[Service]) -> None:
    for blow, victim in ((signal.SIGKILL, joiners[0]), (signal.SIGTERM, joiners[1]), (signal.SIGKILL, joiners[1])):
        await asyncio.sleep(2.5)
        victim.send(blow)
        code = await asyncio.to_thread(victim.wait, 20)
        assert code == (0 if blow is signal.SIGTERM else -signal.SIGKILL), victim.tail()
        victim.start()


async def test_every_utterance_is_joined_once_whatever_happens(
    kafka: KafkaServer, run: str, joiners: list[Service]
) -> None:
    wanted, _ = await asyncio.gather(publish(kafka.brokers, run), kill_them(joiners))
    await asyncio.gather(*(asyncio.to_thread(joiner.wait_ready) for joiner in joiners))
    for topic in INPUTS:
        await wait_committed(kafka.brokers, f"{run}.{SERVICE}", topic, within_s=60)

    found: defaultdict[int, list[pb.Features]] = defaultdict(list)
    for record in await records_of(kafka.brokers, [topics.FEATURES.name]):
        features = pb.Features.FromString(record.value)
        if features.context.utterance_id.startswith(f"{run}-"):
            assert header_of(record, "ce_id") == output(topics.FEATURES, features).id
            found[int(features.context.utterance_id.rpartition("-")[2])].append(features)
    assert found.keys() == wanted.keys()
    for number, joined in found.items():
        for features in joined:
            assert features.hops[-1].service == SERVICE
            del features.hops[:]
            assert features == wanted[number]
    assert sum(map(len, found.values())) < 1.1 * UTTERANCES
    incomplete = [
        number for number, features in wanted.items() if features.missing or not features.HasField("screening")
    ]
    assert len(incomplete) == UTTERANCES // 5
    for joiner in joiners:
        assert CANARY not in joiner.log.read_text()
        spans = joiner.spans / f"{SERVICE}.spans.jsonl"
        assert not spans.exists() or CANARY not in spans.read_text()


async def test_a_late_part_changes_nothing(kafka: KafkaServer, run: str, joiners: list[Service]) -> None:
    before = len(await records_of(kafka.brokers, [topics.FEATURES.name]))
    late = [(topic, message) for topic, message in parts_of(run, 13) if topic is topics.EMBEDDING_TEXT]
    assert late
    async with Writer(kafka.brokers) as writer:
        for topic, message in late:
            await writer.say(topic, message)
    await wait_committed(kafka.brokers, f"{run}.{SERVICE}", topics.EMBEDDING_TEXT)
    assert len(await records_of(kafka.brokers, [topics.FEATURES.name])) == before


async def test_what_belongs_to_nobody_is_a_dead_letter(kafka: KafkaServer, run: str, joiners: list[Service]) -> None:
    about = pb.Context(tenant="t", conversation_id=f"{run}-c", utterance_id=f"{run}-x")
    said = pb.Utterance(context=about, manifest=[pb.MODALITY_TEXT], text=CANARY).SerializeToString()
    nobody = pb.Utterance(manifest=[pb.MODALITY_TEXT], text=CANARY).SerializeToString()
    async with Writer(kafka.brokers) as writer:
        sent = [
            await writer.raw(topics.UTTERANCE, said, f"another tenant/{run}-c".encode()),
            await writer.raw(topics.UTTERANCE, nobody, b"/"),
            await writer.raw(topics.EMBEDDING_AUDIO, b"\xff\xff", b"t/c"),
            await writer.raw(topics.TRANSCRIPT, b"\xff\xff", b"t/c"),
        ]
    for topic in (topics.UTTERANCE, topics.EMBEDDING_AUDIO, topics.TRANSCRIPT):
        await wait_committed(kafka.brokers, f"{run}.{SERVICE}", topic)
    letters = [
        (Letter.of(record), record)
        for topic in (topics.UTTERANCE, topics.EMBEDDING_AUDIO, topics.TRANSCRIPT)
        for record in await records_of(kafka.brokers, [topic.dead_letters])
    ]
    mine = {
        (letter.origin.topic, letter.origin.partition, letter.origin.offset): (letter, record)
        for letter, record in letters
    }
    for place in sent[:3]:
        letter, record = mine[place.topic, place.partition, place.offset]
        assert (letter.service, letter.reason) == (SERVICE, "invalid_event")
        assert not any(CANARY.encode() in value for _, value in record.headers)
    assert (sent[3].topic, sent[3].partition, sent[3].offset) not in mine, "a transcript is its reader's to complain of"
