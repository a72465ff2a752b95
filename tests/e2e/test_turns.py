"""The whole system through the gateway: text, sound and film go in, and come out replied to, scored and logged."""

import asyncio
import math
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiokafka import AIOKafkaProducer
from bus_log import counts, messages_of, records_of
from real_clips import Clips

from multimood import topics
from multimood.cli.account import TurnAccount, distribution
from multimood.cli.demo import fetch_experience
from multimood.cli.talk import hold_turn
from multimood.client import Client, TurnInput
from multimood.contracts.v1 import events_pb2 as pb
from multimood.experience import Bucket, Pseudonyms, rows
from multimood.local.stack import Stack
from multimood.perception.state import names_of
from multimood.settings import PseudonymSettings
from multimood.taxonomy import CRITERIA, EMOTIONS, MESC_STRATEGIES
from multimood.topics import Topic

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def turn(text: str = "", **more: Any) -> TurnInput:
    return TurnInput(f"e2e-{secrets.token_hex(4)}", text=text, **more)


async def hold(stack: Stack, what: TurnInput) -> TurnAccount:
    async with Client(stack.gateway, stack.api_key) as client:
        return await hold_turn(client, what, None)


async def row_of(stack: Stack, utterance: str, folder: Path) -> dict[str, Any]:
    path = await asyncio.to_thread(fetch_experience, stack.s3, [utterance], folder, privacy=stack.endpoints.privacy)
    (row,) = pq.read_table(path).to_pylist()
    return row


async def once(stack: Stack, topic: Topic, utterance: str) -> Any:
    (message,) = await messages_of(stack.kafka_brokers, topic, {utterance})
    return message


def is_distribution(probabilities: Sequence[pb.Probability], labels: Sequence[str]) -> bool:
    given = distribution(probabilities)
    return (
        list(given) == list(labels) and min(given.values()) >= 0 and math.isclose(sum(given.values()), 1, abs_tol=1e-4)
    )


async def test_a_turn_in_text_sound_and_film_is_replied_to_scored_and_logged(
    stack: Stack, clips: Clips, tmp_path: Path
) -> None:
    said = turn(clips.words, audio=clips.audio, video=clips.video, learning_consent=True)
    account = await hold(stack, said)

    # the reply
    assert account.reply is not None
    assert account.reply.text.strip()
    assert account.reply.text.startswith("".join(account.pieces).rstrip())
    assert account.escalation is None

    # the decision
    decision = account.decision
    assert decision is not None
    assert {name: seen["status"] for name, seen in account.modalities().items()} == dict.fromkeys(
        ("text", "audio", "video"), "ok"
    )
    assert is_distribution(decision.user_emotion, EMOTIONS)
    assert len(decision.modality_emotions) == 3
    assert all(is_distribution(seen.emotion, EMOTIONS) for seen in decision.modality_emotions)
    strategies = distribution(decision.strategy)
    assert set(strategies) <= set(MESC_STRATEGIES)
    assert math.isclose(sum(strategies.values()), 1, abs_tol=1e-6)
    assert decision.propensity == pytest.approx(strategies[decision.chosen])
    assert 0 < decision.propensity <= 1
    assert decision.override == pb.OVERRIDE_NONE
    assert decision.policy_version
    assert decision.screening.level == pb.RISK_LEVEL_NONE

    # the trust record
    assert account.trust is not None
    assert [score.criterion for score in account.trust.scores] == list(CRITERIA)
    scored = {name: score for name, score in account.scores().items() if score is not None}
    assert {"safety", "privacy", "empathy"} <= set(scored)
    assert all(1 <= score <= 10 for score in scored.values())
    assert account.reward() is not None
    assert 0 <= (account.reward() or 0) <= 1

    # the experience row of the same utterance tells the same
    row = await row_of(stack, said.utterance_id, tmp_path)
    assert said.conversation_id not in repr(row), "the platform's ids are not in the log"
    assert (len(row["conversation_id"]), row["step"]) == (32, 0)
    assert row["explored"] == decision.explored
    assert row["eligible"] == list(strategies)
    state = dict(zip(names_of(row["state_version"]), row["state"], strict=True))
    assert state["present.audio"] == state["present.video"] == 1.0
    assert state["intensity"] == pytest.approx(row["intensity"])
    assert row["reply_text"] == account.reply.text
    assert row["chosen"] == decision.chosen
    assert row["propensity"] == pytest.approx(decision.propensity)
    assert row["policy_version"] == decision.policy_version
    assert row["reward"] == pytest.approx(account.reward())

    # each part had its share of time
    services = {"gateway", "text_encoder", "audio_encoder", "video_encoder", "sentinel", "joiner", "strategist"}
    assert services | {"responder", "reward"} <= set(account.timings_ms())


async def test_text_alone_waits_for_nothing_else(stack: Stack) -> None:
    account = await hold(stack, turn("My sister and I have not spoken for a year."))
    assert account.reply is not None
    assert list(account.modalities()) == ["text"]
    assert account.modalities()["text"]["status"] == "ok"
    assert account.decision is not None
    assert not account.decision.missing


async def test_speech_alone_is_heard_and_screened(stack: Stack, clips: Clips) -> None:
    said = turn(audio=clips.audio)
    account = await hold(stack, said)
    assert account.reply is not None
    assert {name: seen["status"] for name, seen in account.modalities().items()} == {"text": "ok", "audio": "ok"}
    transcript = await once(stack, topics.TRANSCRIPT, said.utterance_id)
    heard = set(transcript.text.lower().replace(",", "").replace(".", "").split())
    spoken = set(clips.words.lower().replace(",", "").replace(".", "").split())
    assert len(heard & spoken) >= len(spoken) / 2
    assert account.decision is not None
    assert account.decision.dialogue[-1].text == transcript.text
    assert account.decision.screening.level == pb.RISK_LEVEL_NONE


async def test_a_corrupt_film_is_missing_for_a_reason(stack: Stack, clips: Clips) -> None:
    broken = clips.video[:2_000] + bytes(len(clips.video) - 2_000)
    account = await hold(stack, turn(clips.words, video=broken))
    assert account.reply is not None
    assert account.modalities()["text"]["status"] == "ok"
    assert account.modalities()["video"]["status"] == "missing"
    assert account.modalities()["video"]["reason"] in {"media_corrupt", "empty"}


async def test_an_announced_modality_that_never_arrives_is_not_waited_for_longer_than_the_deadline(
    stack: Stack, clips: Clips
) -> None:
    encoder = stack.kill("video_encoder", signal.SIGSTOP)
    try:
        account = await hold(stack, turn(clips.words, video=clips.video))
    finally:
        assert encoder.identity is not None
        encoder.identity.send(signal.SIGCONT)
    assert account.reply is not None
    assert account.modalities()["text"]["status"] == "ok"
    assert account.modalities()["video"] == {"status": "missing", "reason": "deadline", "emotion": None}
    stack.wait_ready("video_encoder")


async def test_a_duplicate_event_changes_nothing(stack: Stack) -> None:
    said = turn("I keep forgetting things lately and it scares me.", learning_consent=True)
    first = await hold(stack, said)
    (record,) = [
        record
        for record in await records_of(stack.kafka_brokers, [topics.UTTERANCE.name])
        if dict(record.headers).get("ce_subject") == said.utterance_id.encode()
    ]
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka_brokers)
    await producer.start()
    try:
        for _ in range(3):
            headers = list(record.headers)
            await producer.send_and_wait(record.topic, record.value, record.key, record.partition, None, headers)
    finally:
        await producer.stop()
    again = await hold(stack, said)
    later = await hold(stack, turn("One more, so that what came before it is done."))
    assert later.reply is not None
    assert again.reply == first.reply
    for topic in (topics.SCREENING, topics.FEATURES, topics.DECISION, topics.REPLY, topics.TRUST):
        found = await messages_of(stack.kafka_brokers, topic, {said.utterance_id})
        assert counts(found) == {said.utterance_id: 1}, topic.name


@pytest.mark.parametrize("model_servers", ["up", "down"])
async def test_a_crisis_gets_the_vetted_reply_and_nothing_else(stack: Stack, model_servers: str) -> None:
    triton = stack.kill("triton", signal.SIGSTOP) if model_servers == "down" else None
    said = turn("I can't go on. Tonight I am going to kill myself.", learning_consent=True)
    try:
        account = await hold(stack, said)
    finally:
        if triton is not None:
            assert triton.identity is not None
            triton.identity.send(signal.SIGCONT)
    assert account.escalation is not None
    assert account.escalation.level >= pb.RISK_LEVEL_ELEVATED
    assert account.reply is not None
    assert account.reply.source == pb.REPLY_SOURCE_VETTED_CRISIS
    assert account.pieces == []
    assert "988" in account.reply.text
    stack.wait_ready("triton", timeout_s=120)
    later = await hold(stack, turn("One more, so that what came before it is done."))
    assert later.reply is not None
    decision = await once(stack, topics.DECISION, said.utterance_id)
    assert decision.override == pb.OVERRIDE_CRISIS
    assert counts(await messages_of(stack.kafka_brokers, topics.REPLY, {said.utterance_id})) == {said.utterance_id: 1}
    assert not await messages_of(stack.kafka_brokers, topics.REPLY_DELTA, {said.utterance_id})


async def test_after_a_crisis_replies_are_vetted_until_a_human_takes_over(stack: Stack) -> None:
    crisis = turn("I can't go on. Tonight I am going to kill myself.")
    first = await hold(stack, crisis)
    assert first.escalation is not None
    held = await hold(stack, TurnInput(crisis.conversation_id, text="It is raining again."))
    assert held.decision is not None
    assert held.decision.override == pb.OVERRIDE_ESCALATED
    assert held.reply is not None
    assert (held.reply.source, held.reply.reason) == (pb.REPLY_SOURCE_VETTED_FALLBACK, "escalated")
    assert held.pieces == []
    async with Client(stack.gateway, stack.api_key) as client:
        identity = first.escalation.escalation_id
        await client.acknowledge(crisis.conversation_id, crisis.utterance_id, identity, by="night shift")
    await asyncio.sleep(2)
    free = await hold(stack, TurnInput(crisis.conversation_id, text="Now it has stopped."))
    assert free.decision is not None
    assert free.decision.override == pb.OVERRIDE_NONE


async def test_a_conversation_is_remembered(stack: Stack) -> None:
    first = turn("My dog Bruno died on Sunday.")
    account = await hold(stack, first)
    assert account.reply is not None
    second = await hold(stack, TurnInput(first.conversation_id, text="The flat is so quiet now."))
    assert second.decision is not None
    assert second.decision.step == 1
    said = [(part.role, part.text) for part in second.decision.dialogue]
    assert said == [
        (pb.ROLE_USER, "My dog Bruno died on Sunday."),
        (pb.ROLE_SYSTEM, account.reply.text),
        (pb.ROLE_USER, "The flat is so quiet now."),
    ]


async def test_feedback_that_outran_the_trust_score_is_logged_with_it(stack: Stack) -> None:
    """A thumbs-up at the moment of the reply; without the score's word it would wait for two minutes."""
    said = turn("I could not sleep again.", learning_consent=True)
    async with Client(stack.gateway, stack.api_key) as client:
        async for response in client.converse(said):
            if response.WhichOneof("part") == "reply":
                await client.send_feedback(said.conversation_id, said.utterance_id, rating=0.75)
    named = Pseudonyms.of(PseudonymSettings(), stack.s3).utterance("default", said.utterance_id)
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while not any(row["feedback"] for row in found):
            await asyncio.sleep(0.5)
            found = await asyncio.to_thread(logged, stack, named)
    assert [one["rating"] for one in found[0]["feedback"]] == [0.75]


def logged(stack: Stack, utterance: str) -> list[dict[str, Any]]:
    with Bucket(stack.s3) as bucket:
        return [row for row in rows(bucket, feedback=True) if row["utterance_id"] == utterance]
