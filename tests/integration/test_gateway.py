"""The gateway against a real broker and a real store; the rest of the system is played by records on its topics."""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiokafka import AIOKafkaConsumer, TopicPartition
from media_files import clip, sound
from pydantic import SecretStr
from service_process import all_end

from multimood import topics
from multimood.apikeys import add_key
from multimood.bus import Publisher
from multimood.bus.admin import apply_topics
from multimood.bus.letters import dead_letter_headers
from multimood.client import AuthenticationError, Client, GatewayRefusedError, OverLimitError, Tls, TurnInput
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.errors import DeadlineExceededError, UnavailableError
from multimood.local.kafka import KafkaServer
from multimood.local.ports import assign
from multimood.local.server import wait_ready
from multimood.local.store import ObjectStore
from multimood.privacy import Keyring, MasterKeys, Pseudonyms
from multimood.privacy.media import MediaSeals
from multimood.settings import HealthSettings, KafkaSettings, PrivacySettings, PseudonymSettings, StoreSettings
from multimood.store import Store
from multimood.topics import key_of
from services.gateway.server import GatewayServer
from services.gateway.settings import GatewaySettings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

CANARY = "zq-canary-the-quick-brown-fox"


@pytest.fixture(scope="module")
def broker(kafka: KafkaServer) -> KafkaSettings:
    settings = KafkaSettings(brokers=kafka.brokers)
    apply_topics(settings)
    return settings


def store_settings(store: ObjectStore, **changes: object) -> StoreSettings:
    fields: dict[str, object] = {
        "endpoint": store.endpoint, "secure": False, "access_key": store.credentials.access_key,
        "secret_key": SecretStr(store.credentials.secret_key), "media_bucket": "media", **changes,
    }  # fmt: skip
    return StoreSettings(**fields)


class Door:
    """A running gateway with a key of a tenant that no other test has."""

    def __init__(self, server: GatewayServer, settings: GatewaySettings) -> None:
        self.server = server
        self.settings = settings
        self.tenant = f"t{secrets.token_hex(4)}"
        self.key = add_key(settings.keys, self.tenant)

    def client(self, key: str | None = None) -> Client:
        return Client(f"127.0.0.1:{self.server.port}", self.key if key is None else key)

    async def ready(self) -> bool:
        async with ClientSession() as session:
            answer = await session.get(f"http://127.0.0.1:{self.server._health.port}/readyz")
            return answer.status == 200


@pytest.fixture
async def open_door(
    tmp_path: Path, broker: KafkaSettings, store: ObjectStore
) -> AsyncIterator[Callable[..., Awaitable[Door]]]:
    running: list[GatewayServer] = []

    async def start(
        *, kafka: KafkaSettings = broker, s3: StoreSettings | None = None, wait: bool = True, **changes: object
    ) -> Door:
        fields = {"listen": "127.0.0.1:0", "keys": tmp_path / "keys.json", "grace_s": 5.0, **changes}
        settings = GatewaySettings(**fields)
        door_keys = add_key(settings.keys, "someone")
        assert door_keys
        server = GatewayServer(settings, kafka, s3 or store_settings(store), HealthSettings())
        door = Door(server, settings)
        server._servicer._keys._looked_at = 0.0  # the key was added after the file was read
        await server.start()
        running.append(server)
        if wait:
            await until(door.ready)
        return door

    yield start
    for server in running:
        await server.stop()


@pytest.fixture
async def door(open_door: Callable[..., Awaitable[Door]]) -> Door:
    return await open_door()


@pytest.fixture
async def others(broker: KafkaSettings) -> AsyncIterator[Publisher]:
    """The other services' way onto the bus."""
    publisher = Publisher(broker, "others")
    await publisher.start()
    yield publisher
    await publisher.stop()


async def until(check: Callable[[], Awaitable[bool]], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not await check():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.05)


async def published(broker: KafkaSettings, tenant: str, topic: topics.Topic = topics.UTTERANCE) -> list[Any]:
    """Every record of a tenant on a topic, read from the beginning."""
    reader = AIOKafkaConsumer(bootstrap_servers=broker.brokers, enable_auto_commit=False)
    await reader.start()
    try:
        tps = [TopicPartition(topic.name, partition) for partition in range(broker.partitions)]
        reader.assign(tps)
        await reader.seek_to_beginning(*tps)
        ends = await reader.end_offsets(tps)
        found = []
        while any([await reader.position(tp) < ends[tp] for tp in tps]):
            for records in (await reader.getmany(timeout_ms=200)).values():
                found += [record for record in records if record.key.startswith(f"{tenant}/".encode())]
        return found
    finally:
        await reader.stop()


def context_of(door: Door, turn: TurnInput) -> pb.Context:
    return pb.Context(tenant=door.tenant, conversation_id=turn.conversation_id, utterance_id=turn.utterance_id)


async def answer(others: Publisher, context: pb.Context, *pieces: str, attempt: str = "one") -> None:
    """Play strategist, responder and reward."""
    await others.publish(topics.DECISION, pb.Decision(context=context, chosen="open question", propensity=0.4))
    for index, piece in enumerate(pieces):
        delta = pb.ReplyDelta(context=context, index=index, text=piece, attempt=attempt)
        await others.publish(topics.REPLY_DELTA, delta)
    reply = pb.Reply(context=context, text="".join(pieces), source=pb.REPLY_SOURCE_GENERATED)
    await others.publish(topics.REPLY, reply)
    await others.publish(topics.TRUST, pb.TrustScore(context=context, reward=0.8))


async def tell(client: Client, turn: TurnInput, **options: Any) -> list[gw.ConverseResponse]:
    return [part async for part in client.converse(turn, **options)]


def kinds(parts: Sequence[gw.ConverseResponse]) -> list[str]:
    return [str(part.WhichOneof("part")) for part in parts]


# --- one turn ------------------------------------------------------------------------------------------------------


async def test_a_turn_with_everything(door: Door, others: Publisher, broker: KafkaSettings, store: ObjectStore) -> None:
    wav, mp4 = sound("wav", "pcm_s16le", seconds=20.0), clip()
    assert len(wav) > 2 * (256 << 10), "several chunks"
    turn = TurnInput("c1", text="hello", audio=wav, video=mp4, locale="en-GB", learning_consent=True)
    async with door.client() as client:
        parts = []
        async for part in client.converse(turn, wait_for_trust=True):
            parts.append(part)
            if part.HasField("accepted"):
                await answer(others, context_of(door, turn), "I ", "hear ", "you.")
    assert kinds(parts) == ["accepted", "decision", "delta", "delta", "delta", "reply", "trust"]
    assert "".join(part.delta.text for part in parts) == parts[-2].reply.text == "I hear you."

    (record,) = await published(broker, door.tenant)
    assert record.key == f"{door.tenant}/c1".encode()
    headers = dict(record.headers)
    assert headers["ce_type"] == topics.UTTERANCE.event_type.encode()
    assert headers["ce_subject"] == turn.utterance_id.encode()
    assert headers["ce_source"] == b"/multimood/gateway"
    utterance = pb.Utterance.FromString(record.value)
    assert utterance.context.tenant == door.tenant
    assert utterance.context.privacy.learning_consent
    assert list(utterance.manifest) == [pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO]
    assert [hop.service for hop in utterance.hops] == ["gateway"]
    client_store = Store(store_settings(store))
    for ref, data, media_type in ((utterance.audio, wav, "audio/wav"), (utterance.video, mp4, "video/mp4")):
        assert ref.media_type == media_type
        assert await client_store.get(ref, tenant=door.tenant, limit=32 << 20) == data
    await client_store.close()


async def test_the_same_utterance_again_is_told_again_and_not_published_again(
    door: Door, others: Publisher, broker: KafkaSettings
) -> None:
    turn = TurnInput("c1", text="hello")
    async with door.client() as client:
        first = asyncio.create_task(tell(client, turn))
        second = asyncio.create_task(tell(client, turn))
        await until(lambda: _is_on_the_bus(broker, door))
        await answer(others, context_of(door, turn), "yes")
        outcomes = await asyncio.gather(first, second)
        third = await tell(client, turn)
    assert sorted(parts[0].accepted.duplicate for parts in outcomes) == [False, True]
    assert third[0].accepted.duplicate
    assert kinds(third) == ["accepted", "decision", "reply"]
    assert len(await published(broker, door.tenant)) == 1


async def _is_on_the_bus(broker: KafkaSettings, door: Door) -> bool:
    return bool(await published(broker, door.tenant))


async def test_a_restarted_gateway_knows_what_was_said_before(
    open_door: Callable[..., Awaitable[Door]], others: Publisher, broker: KafkaSettings
) -> None:
    before = await open_door()
    turn = TurnInput("c1", text="hello")
    async with before.client() as client:
        await client.publish(turn)
    await before.server.stop()
    await answer(others, context_of(before, turn), "still here")
    after = await open_door()
    async with after.client(before.key) as client:
        assert (await client.publish(turn)).duplicate
        assert (await client.get_reply("c1", turn.utterance_id)).reply.text == "still here"
    assert len(await published(broker, before.tenant)) == 1


async def test_a_second_attempt_at_a_reply_does_not_garble_the_first(door: Door, others: Publisher) -> None:
    turn = TurnInput("c1", text="hello")
    parts: list[gw.ConverseResponse] = []
    async with door.client() as client:
        async for part in client.converse(turn):
            parts.append(part)
            context = context_of(door, turn)
            if part.HasField("accepted"):  # the responder dies after two pieces
                await answer_pieces(others, context, ["I ", "hear "], "one")
            if part.HasField("delta") and part.delta.index == 1:  # and begins anew, in other words
                await answer(others, context, "That ", "sounds ", "hard.", attempt="two")
    assert [part.delta.text for part in parts if part.HasField("delta")] == ["I ", "hear "]
    assert parts[-1].reply.text == "That sounds hard."


async def answer_pieces(others: Publisher, context: pb.Context, pieces: Sequence[str], attempt: str) -> None:
    for index, piece in enumerate(pieces):
        await others.publish(
            topics.REPLY_DELTA, pb.ReplyDelta(context=context, index=index, text=piece, attempt=attempt)
        )


async def test_a_crisis_is_told_with_its_escalation(door: Door, others: Publisher) -> None:
    turn = TurnInput("c1", text="hello")
    async with door.client() as client:
        parts = []
        async for part in client.converse(turn):
            parts.append(part)
            if part.HasField("accepted"):
                context = context_of(door, turn)
                reply = pb.Reply(context=context, text="vetted", source=pb.REPLY_SOURCE_VETTED_CRISIS)
                await others.publish(topics.REPLY, reply)
                await asyncio.sleep(0.3)
                await others.publish(topics.ESCALATION, pb.Escalation(context=context, level=pb.RISK_LEVEL_IMMINENT))
    assert kinds(parts) == ["accepted", "reply", "escalation"]


@pytest.mark.parametrize(
    ("topic", "stage", "ends"),
    [(topics.FEATURES, "strategist", True), (topics.DECISION, "responder", True), (topics.UTTERANCE, "joiner", True),
     (topics.UTTERANCE, "audio_encoder", False), (topics.DECISION, "reward", False)],
)  # fmt: skip
async def test_a_dead_letter_ends_the_call_if_no_reply_can_come(
    door: Door, others: Publisher, topic: topics.Topic, stage: str, ends: bool
) -> None:
    turn = TurnInput("c1", text="hello")
    parts = []
    async with door.client() as client:
        async for part in client.converse(turn):
            parts.append(part)
            if part.HasField("accepted"):
                context = context_of(door, turn)
                headers = [("ce_subject", turn.utterance_id.encode()), ("ce_id", b"x")]
                fault = {"service": stage, "reason": "invalid_event"}
                headers = dead_letter_headers(headers, fault)
                await others._sender.send(topic.dead_letters, key_of(context), b"undecodable", headers, limit=1 << 16)
                if not ends:
                    await asyncio.sleep(0.5)
                    await answer(others, context, "anyway")
        outcome = await client.get_reply("c1", turn.utterance_id)
    if ends:
        assert kinds(parts) == ["accepted", "rejected"]
        assert (parts[-1].rejected.stage, parts[-1].rejected.reason) == (stage, "invalid_event")
        assert outcome.rejected == parts[-1].rejected
    else:
        assert parts[-1].reply.text == "anyway"
        assert not outcome.HasField("rejected")


async def test_waiting_for_a_reply_ends_and_says_how_to_go_on(open_door: Callable[..., Awaitable[Door]]) -> None:
    door = await open_door(reply_timeout_s=0.5)
    turn = TurnInput("c1", text="hello")
    async with door.client() as client:
        with pytest.raises(DeadlineExceededError, match=f"{turn.utterance_id} is accepted.*GetReply"):
            await tell(client, turn)
        answered = await client.get_reply("c1", turn.utterance_id, wait_s=60)
    assert not answered.HasField("reply")


# --- asking later --------------------------------------------------------------------------------------------------


async def test_get_reply_waits_until_it_is_there(door: Door, others: Publisher) -> None:
    turn = TurnInput("c1", text="hello")
    async with door.client() as client:
        assert not (await client.publish(turn)).duplicate
        assert not (await client.get_reply("c1", turn.utterance_id)).HasField("reply")
        waiting = asyncio.create_task(client.get_reply("c1", turn.utterance_id, wait_s=20))
        await asyncio.sleep(0.1)
        await answer(others, context_of(door, turn), "later")
        assert (await waiting).reply.text == "later"


async def test_another_tenants_conversation_is_like_one_that_never_was(
    door: Door, open_door: Callable[..., Awaitable[Door]], others: Publisher
) -> None:
    turn = TurnInput("c1", text=CANARY)
    async with door.client() as client:
        await client.publish(turn)
        await answer(others, context_of(door, turn), "secret")
        assert (await client.get_reply("c1", turn.utterance_id, wait_s=10)).reply.text == "secret"
    stranger = await open_door()
    async with stranger.client() as client:
        seen = await client.get_reply("c1", turn.utterance_id, wait_s=0.2)
        assert seen == gw.GetReplyResponse() == await client.get_reply("c1", "never-was", wait_s=0.2)
        # The same ids are another utterance here: it is accepted as new.
        assert not (await client.publish(TurnInput("c1", text="mine", utterance_id=turn.utterance_id))).duplicate


async def test_feedback_is_published_once_per_content(door: Door, broker: KafkaSettings) -> None:
    async with door.client() as client:
        await client.send_feedback("c1", "u1", rating=0.0)
        await client.send_feedback("c1", "u1", rating=0.0)
        await client.send_feedback("c1", "u1", rating=0.9, source="clinician")
        with pytest.raises(GatewayRefusedError, match="rating"):
            await client.send_feedback("c1", "u1", rating=7)
    records = await published(broker, door.tenant, topics.FEEDBACK)
    assert len({dict(record.headers)["ce_id"] for record in records}) == 2
    first = pb.Feedback.FromString(records[0].value)
    assert (first.context.tenant, first.context.utterance_id, first.HasField("rating")) == (door.tenant, "u1", True)


async def test_a_human_takes_an_escalation_over(door: Door, others: Publisher, broker: KafkaSettings) -> None:
    crisis, calm = TurnInput("c1", text="hello"), TurnInput("c2", text="hello")
    async with door.client() as client:
        for turn in (crisis, calm):
            await client.publish(turn)
        context = context_of(door, crisis)
        await others.publish(
            topics.ESCALATION, pb.Escalation(context=context, level=pb.RISK_LEVEL_IMMINENT, escalation_id="e-1")
        )
        for turn in (crisis, calm):
            await answer(others, context_of(door, turn), "vetted")
            await client.get_reply(turn.conversation_id, turn.utterance_id, wait_s=10)
        while not (await client.get_reply("c1", crisis.utterance_id)).HasField("escalation"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        with pytest.raises(GatewayRefusedError, match="escalation_id"):
            await client.acknowledge("c1", crisis.utterance_id, "e-2", by="night shift")
        with pytest.raises(GatewayRefusedError, match="it was not escalated"):
            await client.acknowledge("c2", calm.utterance_id, "e-1", by="night shift")
        with pytest.raises(GatewayRefusedError, match="by"):
            await client.acknowledge("c1", crisis.utterance_id, "e-1", by=" ")
        await client.acknowledge("c1", crisis.utterance_id, "e-1", by="night shift", note="called back")
        await client.acknowledge("c1", "long-gone", "e-0", by="night shift")  # not known here any more: believed
    first, second = await published(broker, door.tenant, topics.ACKNOWLEDGEMENT)
    taken = {one.escalation_id: one for one in map(pb.Acknowledgement.FromString, (first.value, second.value))}
    assert taken.keys() == {"e-0", "e-1"}
    assert (taken["e-1"].context.tenant, taken["e-1"].context.utterance_id) == (door.tenant, crisis.utterance_id)
    assert (taken["e-1"].by, taken["e-1"].note) == ("night shift", "called back")
    assert abs(taken["e-1"].acknowledged_at_us - now_us()) < 60_000_000


# --- refusals ------------------------------------------------------------------------------------------------------


async def test_wrong_keys_are_refused_on_every_call(door: Door, broker: KafkaSettings) -> None:
    for key in ("", "mm_000000000000_" + "A" * 43, door.key[:-1]):
        async with door.client(key) as client:
            calls = (
                tell(client, TurnInput("c", text="x")), client.publish(TurnInput("c", text="x")),
                client.get_reply("c", "u"), client.send_feedback("c", "u", rating=1),
                client.acknowledge("c", "u", "e", by="me"),
            )  # fmt: skip
            for call in calls:
                with pytest.raises(AuthenticationError):
                    await call
    assert await published(broker, door.tenant) == []


@pytest.mark.parametrize(
    ("turn", "field"),
    [
        (TurnInput("c"), "start"),
        (TurnInput("c/../d", text="x"), "start.conversation_id"),
        (TurnInput("c", text="x" * 9000), "start.text"),
        (TurnInput("c", audio=b"no sound"), "chunk.data"),
        (TurnInput("c", text="x", occurred_at_us=1_700_000_000), "start.occurred_at_us"),
    ],
)
async def test_senseless_turns_are_refused_by_field(
    door: Door, broker: KafkaSettings, turn: TurnInput, field: str
) -> None:
    async with door.client() as client:
        with pytest.raises(GatewayRefusedError, match=f": {field}: "):
            await tell(client, turn)
        with pytest.raises(GatewayRefusedError, match=f": {field}: "):
            await client.publish(turn)
    assert await published(broker, door.tenant) == []
    assert door.server._servicer._acceptor._memory.held == 0


async def test_a_reference_to_an_object_that_is_not_there_is_refused(
    door: Door, store: ObjectStore, broker: KafkaSettings
) -> None:
    wav = sound("wav", "pcm_s16le")
    ref = pb.MediaRef(key=f"{door.tenant}/mine/voice.wav", sha256=hashlib.sha256(wav).digest(), size_bytes=len(wav))

    async def publish(client: Client) -> None:
        async def parts() -> AsyncIterator[gw.ConverseRequest]:
            yield gw.ConverseRequest(start=gw.TurnStart(conversation_id="c", utterance_id="u", audio_ref=ref))

        await client._call(client._stub.Publish, parts(), 10)

    async with door.client() as client:
        with pytest.raises(GatewayRefusedError, match=r"start\.audio_ref.*upload the object first"):
            await publish(client)
        client_store = Store(store_settings(store))
        await client_store.put("media", ref.key, wav, "audio/wav")
        await client_store.close()
        await publish(client)
    (record,) = await published(broker, door.tenant)
    utterance = pb.Utterance.FromString(record.value)
    assert (utterance.audio.bucket, utterance.audio.media_type) == ("media", "audio/wav")
    assert list(utterance.manifest) == [pb.MODALITY_AUDIO]


async def test_limits_answer_with_when_to_come_back(open_door: Callable[..., Awaitable[Door]]) -> None:
    door = await open_door(rate_per_s=0.5, burst=2)
    async with door.client() as client:
        await client.get_reply("c", "u")
        await client.get_reply("c", "u")
        with pytest.raises(OverLimitError, match="calls a second") as refused:
            await client.get_reply("c", "u")
    assert refused.value.retry_after_s == 2
    async with door.client(add_key(door.settings.keys, "unhurried")) as client:
        await asyncio.sleep(1.1)
        await client.get_reply("c", "u")


async def test_a_client_that_sends_nothing_is_let_go(open_door: Callable[..., Awaitable[Door]]) -> None:
    door = await open_door(upload_timeout_s=0.3)

    async def nothing() -> AsyncIterator[gw.ConverseRequest]:
        await asyncio.sleep(30)
        yield gw.ConverseRequest()

    async with door.client() as client:
        with pytest.raises(DeadlineExceededError, match="send 'start' first"):
            await client._call(client._stub.Publish, nothing(), 20)


async def test_a_caller_who_leaves_takes_nothing_with_him(door: Door, others: Publisher) -> None:
    turn = TurnInput("c1", text="hello")
    async with door.client() as client:
        async for part in client.converse(turn):
            assert part.HasField("accepted")
            break
        await answer(others, context_of(door, turn), "for later")
        assert (await client.get_reply("c1", turn.utterance_id, wait_s=10)).reply.text == "for later"

        async def no_watches() -> bool:
            return door.server._outcomes._watches == {}

        await until(no_watches)


# --- dependencies down ---------------------------------------------------------------------------------------------


async def test_words_get_through_without_the_store(
    open_door: Callable[..., Awaitable[Door]], broker: KafkaSettings, store: ObjectStore
) -> None:
    door = await open_door(s3=store_settings(store, endpoint="127.0.0.1:1"))
    wav = sound("wav", "pcm_s16le")
    async with door.client() as client:
        started = time.monotonic()
        await client.publish(TurnInput("c", text="help me", audio=wav))
        assert time.monotonic() - started < 2
        with pytest.raises(UnavailableError, match="store"):
            await client.publish(TurnInput("c", audio=wav))
    (record,) = await published(broker, door.tenant)
    utterance = pb.Utterance.FromString(record.value)
    assert list(utterance.manifest) == [pb.MODALITY_TEXT, pb.MODALITY_AUDIO]
    assert not utterance.audio.key
    assert utterance.text == "help me"


async def test_words_get_through_without_the_keys(
    open_door: Callable[..., Awaitable[Door]],
    broker: KafkaSettings,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MULTIMOOD_MASTER_KEY", "a master key for tests")
    s3 = store_settings(store, keys_bucket="keys")
    door, wav = await open_door(s3=s3), sound("wav", "pcm_s16le")
    client_store = Store(s3)
    stranger = Keyring(client_store, "keys", MasterKeys("quite another master key"))
    await stranger.key_for(Pseudonyms.of(PseudonymSettings(), s3).person(door.tenant, "jane"), 1)
    await client_store.close()
    async with door.client() as client:
        await client.publish(TurnInput("c", text="help me", audio=wav, subject="jane"))
        with pytest.raises(UnavailableError, match="store"):
            await client.publish(TurnInput("c", audio=wav, subject="jane"))
    (record,) = await published(broker, door.tenant)
    utterance = pb.Utterance.FromString(record.value)
    assert utterance.text == "help me"
    assert not utterance.audio.key, "and nothing is stored in the clear"


async def test_media_are_sealed_before_they_are_stored_and_whose_they_are_rides_along(
    open_door: Callable[..., Awaitable[Door]],
    broker: KafkaSettings,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MULTIMOOD_MASTER_KEY", "a master key for tests")
    s3 = store_settings(store, keys_bucket="keys")
    door, wav = await open_door(s3=s3), sound("wav", "pcm_s16le")
    async with door.client() as client:
        await client.publish(TurnInput("c", text="help me", audio=wav, subject="jane", learning_consent=True))
        with pytest.raises(GatewayRefusedError, match="subject"):
            await client.publish(TurnInput("c", text="help me", subject="jane doe"))
    (record,) = await published(broker, door.tenant)
    utterance = pb.Utterance.FromString(record.value)
    ref = utterance.audio
    assert utterance.context.subject == "jane"
    assert len(ref.key_id) == 8
    assert ref.media_type == "audio/wav"
    assert "jane" not in ref.key
    client_store = Store(s3)
    stored = await client_store.get(ref, tenant=door.tenant, limit=32 << 20)
    assert wav[100:200] not in stored
    seals = MediaSeals.of(client_store, s3, PrivacySettings(), PseudonymSettings())
    assert await seals.open(ref, utterance.context, stored) == wav
    await client_store.close()


async def test_without_the_broker_calls_are_refused_quickly_and_readiness_is_false(
    open_door: Callable[..., Awaitable[Door]],
) -> None:
    door = await open_door(kafka=KafkaSettings(brokers="127.0.0.1:1"), wait=False)
    assert not await door.ready()
    async with door.client() as client:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="send it again under this id"):
            await tell(client, TurnInput("c", text="hello"))
        assert time.monotonic() - started < 6
    assert len(door.server._outcomes) == 0


async def test_the_broker_may_come_later(open_door: Callable[..., Awaitable[Door]], broker: KafkaSettings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    door = await open_door(kafka=KafkaSettings(brokers=f"127.0.0.1:{port}", partitions=2), wait=False)
    await asyncio.sleep(0.3)
    assert not await door.ready()
    # The broker advertises its own address; a forwarder that appears on the other one is enough to be found.
    host, real = broker.brokers.split(":")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(real))

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
            target.close()

        await asyncio.gather(pump(reader, back), pump(there, writer))

    async with await asyncio.start_server(forward, "127.0.0.1", port):
        await until(door.ready)
        async with door.client() as client:
            assert not (await client.publish(TurnInput("c", text="hello"))).duplicate
        await door.server.stop()


async def test_a_broker_that_dies_and_comes_back_is_found_again(
    open_door: Callable[..., Awaitable[Door]], tmp_path: Path
) -> None:
    ports, log = assign(KafkaServer.PORTS), tmp_path / "kafka.log"
    server = KafkaServer(tmp_path / "kafka", log, ports["kafka"], ports["kafka.controller"])
    server.folder.mkdir()
    server.start()
    try:
        await asyncio.to_thread(wait_ready, server, log, 120)
        settings = KafkaSettings(brokers=f"127.0.0.1:{server.port}", partitions=2)
        await asyncio.to_thread(apply_topics, settings)
        door = await open_door(kafka=settings)
        async with door.client() as client:
            await client.publish(TurnInput("c", text="before"))
            assert server.child is not None
            server.child.kill()
            server.stop()

            async def not_ready() -> bool:
                return not await door.ready()

            await until(not_ready)
            turn, started = TurnInput("c", text="meanwhile"), time.monotonic()
            with pytest.raises(UnavailableError, match=f"{turn.utterance_id}, send it again under this id"):
                await client.publish(turn)
            assert time.monotonic() - started < 7
            server.start()
            await asyncio.to_thread(wait_ready, server, log, 120)
            await until(door.ready, within_s=60)
            await client.publish(turn)
            publisher = Publisher(settings, "others")
            await publisher.start()
            await answer(publisher, context_of(door, turn), "back")
            await publisher.stop()
            assert (await client.get_reply("c", turn.utterance_id, wait_s=30)).reply.text == "back"
        records = await published(settings, door.tenant)
        assert {dict(record.headers)["ce_subject"].decode() for record in records} >= {turn.utterance_id}
        assert len({dict(record.headers)["ce_id"] for record in records}) == 2, "sent again, it is the same event"
        await door.server.stop()
    finally:
        server.stop()


# --- TLS -----------------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str, signer: str = "") -> None:
    """Write `<name>.pem` and `<name>.key`: an authority, or a certificate for 127.0.0.1 signed by one."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    subject = ("-subj", f"/CN={name}-{secrets.token_hex(4)}")
    command = [
        "openssl",
        "req",
        "-x509",
        *curve,
        *subject,
        "-days",
        "2",
        "-keyout",
        f"{name}.key",
        "-out",
        f"{name}.pem",
    ]
    if signer:
        command += ["-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


async def test_tls_with_client_certificates_and_renewal(
    open_door: Callable[..., Awaitable[Door]], tmp_path: Path
) -> None:
    for name, signer in (("ca", ""), ("server", "ca"), ("platform", "ca"), ("rogue-ca", ""), ("rogue", "rogue-ca")):
        certificate(tmp_path, name, signer)
    names = ("ca", "server", "platform", "rogue")
    pem, key = ({name: tmp_path / f"{name}.{kind}" for name in names} for kind in ("pem", "key"))
    door = await open_door(tls_cert=pem["server"], tls_key=key["server"], tls_client_ca=pem["ca"])
    address = f"127.0.0.1:{door.server.port}"

    async def answers(tls: Tls | None) -> bool:
        async with Client(address, door.key, tls=tls) as client:
            try:
                await client.connect(1.5)
                await client.get_reply("c", "u")
            except UnavailableError:
                return False
            return True

    known = Tls(pem["ca"], pem["platform"], key["platform"])
    assert await answers(known)
    assert not await answers(None), "no TLS"
    assert not await answers(Tls(pem["ca"])), "no client certificate"
    assert not await answers(Tls(pem["ca"], pem["rogue"], key["rogue"])), "a client certificate of another authority"
    assert not await answers(Tls(pem["rogue"], pem["platform"], key["platform"])), (
        "the client does not know the gateway's"
    )

    certificate(tmp_path, "new-ca")
    certificate(tmp_path, "server", "new-ca")  # renewed in place, by another authority
    assert await answers(Tls(tmp_path / "new-ca.pem", pem["platform"], key["platform"]))
    assert not await answers(known)
    key["server"].write_text("broken")
    assert await answers(Tls(tmp_path / "new-ca.pem", pem["platform"], key["platform"])), "the last good one stays"


# --- the command line ----------------------------------------------------------------------------------------------

TALK = "import typer; from multimood.cli.talk import talk; app = typer.Typer(); app.command()(talk); app()"


async def test_talk_prints_one_object_per_turn(
    door: Door, others: Publisher, broker: KafkaSettings, tmp_path: Path
) -> None:
    voice = tmp_path / "voice.wav"
    voice.write_bytes(sound("wav", "pcm_s16le"))
    environment = {
        **os.environ,
        "MULTIMOOD_ADDRESS": f"127.0.0.1:{door.server.port}",
        "MULTIMOOD_API_KEY": door.key,
    }

    async def talk(*arguments: str, turns: int, stdin: bytes = b"") -> list[dict[str, Any]]:
        before = len(await published(broker, door.tenant))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", TALK, "--json", *arguments, env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        ending = asyncio.create_task(process.communicate(stdin))
        for number in range(turns):

            async def is_there(wanted: int = before + number + 1) -> bool:
                return len(await published(broker, door.tenant)) >= wanted

            await until(is_there)
            records = sorted(await published(broker, door.tenant), key=lambda record: record.timestamp)
            await answer(others, pb.Utterance.FromString(records[-1].value).context, "I hear ", "you.")
        output, errors = await asyncio.wait_for(ending, 30)
        assert (process.returncode, errors) == (0, b"")
        return [json.loads(line) for line in output.splitlines()]

    (turn,) = await talk("--audio", str(voice), "--conversation", "c7", turns=1)
    assert turn["reply"] == "I hear you."
    assert turn["reward"] == 0.8
    assert turn["decision"]["chosen"] == "open question"
    assert set(turn["modalities"]) == {"audio"}
    assert turn["timings_ms"]["total"] >= turn["timings_ms"]["first_token"] > 0

    turns = await talk(turns=2, stdin=b"hello\n\nand again\n")
    assert [turn["reply"] for turn in turns] == ["I hear you."] * 2
    contexts = [pb.Utterance.FromString(record.value).context for record in await published(broker, door.tenant)]
    assert len({context.conversation_id for context in contexts}) == 2, "the two lines were one conversation"


# --- the process ---------------------------------------------------------------------------------------------------


async def test_the_process_starts_drains_and_keeps_silent_about_content(
    tmp_path: Path, broker: KafkaSettings, store: ObjectStore, others: Publisher
) -> None:
    s3 = store_settings(store)
    with socket.socket() as free, socket.socket() as free_too:
        free.bind(("127.0.0.1", 0))
        free_too.bind(("127.0.0.1", 0))
        listen, health = free.getsockname()[1], free_too.getsockname()[1]
    environment = {
        **os.environ,
        "MULTIMOOD_GATEWAY_LISTEN": f"127.0.0.1:{listen}",
        "MULTIMOOD_GATEWAY_KEYS": str(tmp_path / "keys.json"),
        "MULTIMOOD_GATEWAY_KEY_FILE": str(tmp_path / "run" / "api_key"),
        "MULTIMOOD_KAFKA_BROKERS": broker.brokers,
        "MULTIMOOD_S3_ENDPOINT": s3.endpoint,
        "MULTIMOOD_S3_SECURE": "false",
        "MULTIMOOD_S3_ACCESS_KEY": s3.access_key,
        "MULTIMOOD_S3_SECRET_KEY": s3.secret_key.get_secret_value(),
        "MULTIMOOD_S3_MEDIA_BUCKET": "media",
        "MULTIMOOD_HEALTH_PORT": str(health),
        "MULTIMOOD_TELEMETRY_FOLDER": str(tmp_path / "telemetry"),
    }
    log = tmp_path / "gateway.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.gateway", env=environment, stdout=out, stderr=out
        )
    try:
        async with ClientSession() as session:

            async def is_ready() -> bool:
                with contextlib.suppress(OSError):
                    return (await session.get(f"http://127.0.0.1:{health}/readyz")).status == 200
                return False

            await until(is_ready)
            async with Client(f"127.0.0.1:{listen}", (tmp_path / "run" / "api_key").read_text().strip()) as client:
                with pytest.raises(GatewayRefusedError):
                    await client.publish(TurnInput("c", text=CANARY * 1000))
                with pytest.raises(GatewayRefusedError):
                    await client.publish(TurnInput("c", text="x", locale=CANARY * 2))
                turn = TurnInput(f"c{secrets.token_hex(4)}", text=CANARY)
                parts = []
                async for part in client.converse(turn):
                    parts.append(part)
                    if part.HasField("accepted"):
                        metrics = await (await session.get(f"http://127.0.0.1:{health}/metrics")).text()
                        process.send_signal(signal.SIGTERM)  # the call is open: it must be finished first
                        await asyncio.sleep(0.3)
                        context = pb.Context(
                            tenant="default", conversation_id=turn.conversation_id, utterance_id=turn.utterance_id
                        )
                        await answer(others, context, CANARY)
        assert parts[-1].reply.text == CANARY
        assert await asyncio.wait_for(process.wait(), 15) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert "multimood_gateway_accepted" in metrics
    assert "multimood_gateway_refused" in metrics
    spans = (tmp_path / "telemetry" / "gateway.spans.jsonl").read_text()
    assert "gateway.converse" in spans
    assert turn.utterance_id in spans
    for place in (log.read_text(), metrics, spans):
        assert CANARY not in place


async def test_settings_that_cannot_work_end_the_process_with_2(tmp_path: Path) -> None:
    cases = {
        "GATEWAY_TLS_CERT": "/nowhere/cert.pem", "GATEWAY_LISTEN": "no-port", "GATEWAY_MAX_TEXT_CHARS": "many",
        "GATEWAY_KEYS": str(tmp_path),
    }  # fmt: skip
    ended = await all_end("gateway", *({f"MULTIMOOD_{name}": value} for name, value in cases.items()))
    for name, (code, output) in zip(cases, ended, strict=True):
        assert code == 2, output
        assert name.removeprefix("GATEWAY_").lower().encode() in output.lower()
        assert b"Traceback" not in output


@pytest.fixture(autouse=True)
def _no_silent_failures(caplog: pytest.LogCaptureFixture) -> Any:
    """Nothing may fail where nobody looks: no abandoned task, no unexpected error in a log."""
    caplog.set_level(logging.ERROR)
    yield
    ours = [
        record
        for record in caplog.get_records("call")
        if record.name.startswith(("services", "multimood", "asyncio", "grpc"))
    ]
    assert [record.getMessage() for record in ours] == []
