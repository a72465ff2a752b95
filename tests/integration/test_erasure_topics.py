"""Erasing on a real broker and a real store: what goes, what stays, and what is told when something is away."""

import asyncio
import json
import secrets
import time
from typing import Any

import pytest
from bus_harness import Writer
from bus_log import records_of
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource
from kafka.errors import CoordinatorNotAvailableError
from kafka.structs import OffsetAndMetadata
from pydantic import SecretStr

from multimood import topics
from multimood.access import READERS
from multimood.bus.admin import apply_topics
from multimood.bus.filler import HEADER
from multimood.bus.letters import dead_letter_headers
from multimood.bus.purge import BrokerPurge
from multimood.contracts.v1 import events_pb2 as pb
from multimood.erasure.erase import Erasing, Person, Systems
from multimood.erasure.places import Report
from multimood.local.kafka import KafkaServer
from multimood.local.store import ObjectStore
from multimood.privacy import ErasedError, Keyring, MasterKeys, Pseudonyms
from multimood.settings import KafkaSettings, StoreSettings
from multimood.store import Store
from multimood.topics import Topic

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PSEUDONYMS = Pseudonyms(b"a key for tests only")


class Groups:
    """Consumer groups of services that are played: they have read as far as the test says."""

    def __init__(self, brokers: str, prefix: str) -> None:
        self._brokers = brokers
        self._prefix = prefix

    def read(self, *services: str, until: int | None = None) -> None:
        """They have read everything; `until`: so far only."""
        consumer = KafkaConsumer(bootstrap_servers=self._brokers)
        admin = KafkaAdminClient(bootstrap_servers=self._brokers)
        for service in services:
            names = [name for name, readers in READERS.items() if service in readers]
            places = [TopicPartition(n, p) for n in names for p in consumer.partitions_for_topic(n) or ()]
            ends = consumer.end_offsets(places)
            offsets = {
                tp: OffsetAndMetadata(end if until is None else min(until, end), "", -1) for tp, end in ends.items()
            }
            until_s = time.monotonic() + 30
            while True:
                try:
                    admin.alter_group_offsets(f"{self._prefix}.{service}", offsets)
                    break
                except CoordinatorNotAvailableError:  # a new broker makes the topic of offsets first
                    assert time.monotonic() < until_s
                    time.sleep(0.2)
        consumer.close()
        admin.close()


@pytest.fixture
def kafka_settings(kafka: KafkaServer) -> KafkaSettings:
    settings = KafkaSettings(brokers=kafka.brokers, group_prefix=f"t{secrets.token_hex(4)}")
    apply_topics(settings)
    return settings


@pytest.fixture
def s3(store: ObjectStore) -> StoreSettings:
    return StoreSettings(
        endpoint=store.endpoint, secure=False, access_key=store.credentials.access_key,
        secret_key=SecretStr(store.credentials.secret_key), media_bucket="media", experience_bucket="experience",
        keys_bucket="keys",
    )  # fmt: skip


@pytest.fixture
def tenant() -> str:
    return f"t{secrets.token_hex(4)}"


def context(tenant: str, conversation: str, subject: str = "", utterance: str = "u") -> pb.Context:
    return pb.Context(
        tenant=tenant, conversation_id=conversation, utterance_id=utterance, subject=subject, occurred_at_us=1
    )


async def speak(writer: Writer, tenant: str, conversation: str, subject: str, words: str) -> None:
    whose = context(tenant, conversation, subject)
    turn = pb.Turn(role=pb.ROLE_USER, text=words, utterance_id="u")
    await writer.say(topics.UTTERANCE, pb.Utterance(context=whose, text=words))
    await writer.say(topics.DECISION, pb.Decision(context=whose, dialogue=[turn]))
    await writer.say(topics.CONVERSATION, pb.Conversation(context=whose, turns=[turn], steps=1, revision=1))
    await writer.say(topics.ESCALATION, pb.Escalation(context=whose))
    died = dead_letter_headers([], {"topic": topics.UTTERANCE.name, "partition": "0", "offset": "0", "time_us": "1"})
    value = pb.Utterance(context=whose, text=words).SerializeToString()
    await writer.raw(
        Topic(topics.UTTERANCE.dead_letters, pb.Utterance, 1), value, f"{tenant}/{conversation}".encode(), died
    )


async def found(brokers: str, words: str, *names: str) -> list[str]:
    """Topics in which it is still to be read."""
    return sorted({r.topic for r in await records_of(brokers, list(names)) if words.encode() in (r.value or b"")})


NAMES = (
    topics.UTTERANCE.name, topics.DECISION.name, topics.CONVERSATION.name, topics.UTTERANCE.dead_letters,
)  # fmt: skip


def erase(tenant: str, subject: str, kafka: KafkaSettings, s3: StoreSettings, wait_s: float = 2.0) -> Report:
    systems = Systems(kafka, s3, PSEUDONYMS, cache_s=0)
    return Erasing(Person(tenant, subject), systems, by="the test", wait_s=wait_s, tell=lambda _what: None).run()


async def in_thread(*arguments: Any, **more: Any) -> Report:
    return await asyncio.to_thread(erase, *arguments, **more)


async def test_their_records_go_and_those_of_others_that_were_not_purged_stay(
    kafka: KafkaServer, kafka_settings: KafkaSettings, s3: StoreSettings, tenant: str
) -> None:
    one, other = f"one{secrets.token_hex(6)}", f"other{secrets.token_hex(6)}"
    async with Writer(kafka.brokers) as writer:
        await speak(writer, tenant, "c1", "jane", one)
        await speak(writer, tenant, "c1", "", other)  # in the same partition
        await speak(writer, "another", "c1", "jane", other)
        # What the strategist says to an erasure.
        emptied = pb.Conversation(context=context(tenant, "c1"), steps=1, revision=2)
        await writer.say(topics.CONVERSATION, emptied)
    assert await found(kafka.brokers, one, *NAMES) == sorted(NAMES)
    report = await in_thread(tenant, "jane", kafka_settings, s3, wait_s=60)
    assert report.places["topics"].fault == ""
    assert report.places["topics"].left == []
    assert report.places["topics"].found == {"conversations": 1, "records": 1, "dead_letters": 2, "states": 1}
    assert await found(kafka.brokers, one, *NAMES) == []
    assert topics.CONVERSATION.name in await found(kafka.brokers, other, *NAMES), "another tenant's state"
    assert topics.UTTERANCE.dead_letters in await found(kafka.brokers, other, *NAMES), "another's dead letter"
    erasures = [r for r in await records_of(kafka.brokers, [topics.ERASURE.name]) if r.key == f"{tenant}/c1".encode()]
    assert pb.Erasure.FromString(erasures[0].value).erased_at_us == report.erased_at_us
    escalations = await records_of(kafka.brokers, [topics.ESCALATION.name])
    assert any(r.key == f"{tenant}/c1".encode() for r in escalations), "a human may still have to act"
    admin = KafkaAdminClient(bootstrap_servers=kafka.brokers)
    described = admin.describe_configs([ConfigResource("TOPIC", topics.UTTERANCE.name)])
    (values,) = (by_name[topics.UTTERANCE.name] for by_name in described.values())
    assert values["segment.ms"]["value"] == str(topics.SEGMENT_MS), "the topic's settings are as before"
    admin.close()


async def test_nothing_is_purged_that_a_service_has_still_to_read(
    kafka: KafkaServer, kafka_settings: KafkaSettings, s3: StoreSettings, tenant: str
) -> None:
    words, groups = f"words{secrets.token_hex(6)}", Groups(kafka.brokers, kafka_settings.group_prefix)
    async with Writer(kafka.brokers) as writer:
        await speak(writer, tenant, "c1", "jane", words)
        await writer.say(topics.CONVERSATION, pb.Conversation(context=context(tenant, "c1"), steps=1, revision=2))
    groups.read("joiner", "sentinel")
    groups.read("responder", until=0)
    report = await in_thread(tenant, "jane", kafka_settings, s3)
    assert not report.complete
    assert "responder" in report.places["topics"].left[0]
    assert topics.UTTERANCE.name in await found(kafka.brokers, words, *NAMES)
    with BrokerPurge(kafka_settings) as broker:
        lag = broker.unread(broker.ends(range(kafka_settings.partitions)), 0)
    assert lag["responder"] > 0
    assert "reward" not in lag, "of a service that never read anything nothing can be read again"


async def test_a_person_is_erased_from_store_and_log_with_a_record_and_once_more_without_harm(
    kafka_settings: KafkaSettings, s3: StoreSettings, tenant: str
) -> None:
    store, person = Store(s3), PSEUDONYMS.person(tenant, "jane")
    keyring = Keyring(store, "keys", MasterKeys("a master key for tests"), cache_s=0)
    key = await keyring.key_for(person, 1)
    await store.put("media", f"{person.name}/passing/u/audio-1", b"sealed", "application/octet-stream")
    await store.put("media", f"{tenant}/of-another/passing/u/audio-1", b"sealed", "application/octet-stream")
    report = await in_thread(tenant, "jane", kafka_settings, s3)
    assert report.finished, report
    assert report.places["keys"].removed == {"keys": 1}
    assert report.places["media"].removed == {"objects": 1}
    assert [one.key for one in await store.list("media", f"{tenant}/")] == [f"{tenant}/of-another/passing/u/audio-1"]
    with pytest.raises(ErasedError):
        await keyring.find(person, key.id)
    again = await in_thread(tenant, "jane", kafka_settings, s3)
    assert again.finished
    assert again.places["keys"].removed == {"keys": 0}
    records = await store.list("experience", f"audit/erasures/{person.name}/")
    assert len(records) == 2
    kept = json.loads(await store.read("experience", records[0].key, limit=1 << 20))
    assert (kept["by"], kept["complete"], kept["subject"]) == ("the test", True, person.pseudonym)
    assert "jane" not in json.dumps(kept)
    await store.close()


async def test_a_store_that_is_away_is_said_and_the_next_time_does_it(
    kafka: KafkaServer, kafka_settings: KafkaSettings, s3: StoreSettings, tenant: str
) -> None:
    words = f"words{secrets.token_hex(6)}"
    async with Writer(kafka.brokers) as writer:
        await speak(writer, tenant, "c1", "jane", words)
        await writer.say(topics.CONVERSATION, pb.Conversation(context=context(tenant, "c1"), steps=1, revision=2))
    gone = s3.model_copy(update={"endpoint": "127.0.0.1:1"})
    report = await in_thread(tenant, "jane", kafka_settings, gone, wait_s=60)
    assert not report.finished
    faulty = {name for name, outcome in report.places.items() if outcome.fault}
    assert faulty == {"keys", "media", "log", "audit"}
    assert await found(kafka.brokers, words, *NAMES) == [], "the broker was reached"
    away = await in_thread(tenant, "jane", kafka_settings.model_copy(update={"brokers": "127.0.0.1:1"}), s3)
    assert {name for name, outcome in away.places.items() if outcome.fault} == {"topics"}
    assert (await in_thread(tenant, "jane", kafka_settings, s3)).finished


async def test_fillers_are_marked(kafka: KafkaServer, kafka_settings: KafkaSettings) -> None:
    with BrokerPurge(kafka_settings) as broker:
        begins = broker.roll([(topics.REPLY.name, 0)])
    record = [r for r in await records_of(kafka.brokers, [topics.REPLY.name]) if r.partition == 0][-1]
    assert [name for name, _ in record.headers] == [HEADER]
    assert begins == {TopicPartition(topics.REPLY.name, 0): record.offset}
