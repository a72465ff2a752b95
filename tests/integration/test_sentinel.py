"""The sentinel as a process on a real broker, and on nothing else: there is no Triton, no store and no LLM here."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from bus_log import counts, messages_of, records_of
from google.protobuf.message import Message
from service_process import Process, all_end
from typer.testing import CliRunner

from multimood import topics
from multimood.bus import Publisher
from multimood.bus.admin import apply_topics
from multimood.cli import app
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.kafka import KafkaServer
from multimood.safety import VettedReplies
from multimood.settings import KafkaSettings
from multimood.topics import Topic

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

CRISIS = "zq canary I am going to kill myself tonight"
NOWHERE = {
    "MULTIMOOD_TRITON_URL": "127.0.0.1:9",
    "MULTIMOOD_S3_ENDPOINT": "127.0.0.1:9",
    "MULTIMOOD_RESPONDER_OPENAI_URL": "http://127.0.0.1:9/v1",
}

Start = Callable[[], AbstractAsyncContextManager[Process]]


@pytest.fixture(scope="module")
def broker(kafka: KafkaServer) -> KafkaSettings:
    settings = KafkaSettings(brokers=kafka.brokers)
    apply_topics(settings)
    return settings


@pytest.fixture
async def platform(broker: KafkaSettings) -> AsyncIterator[Publisher]:
    publisher = Publisher(broker, "platform")
    await publisher.start()
    yield publisher
    await publisher.stop()


@pytest.fixture
def sentinel(broker: KafkaSettings, tmp_path: Path) -> Start:
    group = f"t{secrets.token_hex(4)}"
    return lambda: Process("sentinel", broker, tmp_path, group, **NOWHERE)


def utterances(count: int, text: str = CRISIS, locale: str = "en-GB", **fields: object) -> list[pb.Utterance]:
    run = secrets.token_hex(4)
    return [
        pb.Utterance(
            context=pb.Context(
                tenant="t", conversation_id=f"{run}-{number % 7}", utterance_id=f"{run}-u{number}", locale=locale
            ),
            **{"manifest": [pb.MODALITY_TEXT], "text": text, **fields},
        )
        for number in range(count)
    ]


def ids(said: Collection[pb.Utterance]) -> set[str]:
    return {one.context.utterance_id for one in said}


async def reached(broker: KafkaSettings, topic: Topic, wanted: set[str], within_s: float = 40.0) -> list[Message]:
    deadline = time.monotonic() + within_s
    while True:
        found = [one for one in await messages_of(broker.brokers, topic, wanted) if not getattr(one, "notice", 0)]
        if set(counts(found)) == wanted:
            return found
        assert time.monotonic() < deadline, f"{len(set(counts(found)))} of {len(wanted)} on {topic.name}"
        await asyncio.sleep(0.1)


async def once(broker: KafkaSettings, topic: Topic, wanted: set[str]) -> list[Message]:
    """Wait until every utterance has its record; then there must be one of each."""
    found = await reached(broker, topic, wanted)
    assert len(found) == len(wanted)
    return found


async def test_a_crisis_needs_the_broker_alone(broker: KafkaSettings, platform: Publisher, sentinel: Start) -> None:
    said = utterances(1)[0]
    async with sentinel() as process:
        await platform.publish(topics.UTTERANCE, said)
        (screening,) = await once(broker, topics.SCREENING, ids([said]))
        (escalation,) = await once(broker, topics.ESCALATION, ids([said]))
        (reply,) = await once(broker, topics.REPLY, ids([said]))
        assert await process.drained() == 0
    assert screening.level == escalation.level == pb.RISK_LEVEL_IMMINENT
    assert reply.source == pb.REPLY_SOURCE_VETTED_CRISIS
    assert reply.text == VettedReplies.load().reply("imminent", "en-GB").text
    # What was said is in none of the records, logs and spans that were made of it.
    for place in (str(escalation), str(screening), str(reply), process.log.read_text(), process.spans()):
        assert "canary" not in place


async def test_the_same_event_again_has_no_second_outcome(
    broker: KafkaSettings, platform: Publisher, sentinel: Start
) -> None:
    said = utterances(3)
    async with sentinel():
        for _ in range(3):
            for one in said:
                await platform.publish(topics.UTTERANCE, one)
        last = utterances(7, "The garden is doing well")  # of every conversation, hence behind the rest
        for one in last:
            await platform.publish(topics.UTTERANCE, one)
        await once(broker, topics.SCREENING, ids(last))
        for topic in (topics.ESCALATION, topics.REPLY, topics.SCREENING):
            await once(broker, topic, ids(said))
    assert not await messages_of(broker.brokers, topics.ESCALATION, ids(last))
    assert not await messages_of(broker.brokers, topics.REPLY, ids(last))


async def test_killed_again_and_again_it_answers_everyone_once(
    broker: KafkaSettings, platform: Publisher, sentinel: Start
) -> None:
    said = utterances(200)
    for round_ in range(2):
        async with sentinel() as process:
            part = said[round_ * 100 : (round_ + 1) * 100]
            sending = asyncio.gather(*(platform.publish(topics.UTTERANCE, one) for one in part))
            while not await messages_of(broker.brokers, topics.ESCALATION, ids(part)):  # noqa: ASYNC110
                await asyncio.sleep(0)
            process.kill()
            await sending
    async with sentinel():
        for topic in (topics.ESCALATION, topics.REPLY, topics.SCREENING):
            await once(broker, topic, ids(said))


@pytest.mark.parametrize("durable", [1, 2])
async def test_what_was_durable_before_a_crash_is_not_said_again(
    broker: KafkaSettings, platform: Publisher, sentinel: Start, durable: int
) -> None:
    said = utterances(1)[0]
    escalation = pb.Escalation(context=said.context, level=pb.RISK_LEVEL_IMMINENT)
    reply = pb.Reply(context=said.context, source=pb.REPLY_SOURCE_VETTED_CRISIS)
    before = [(topics.ESCALATION, escalation), (topics.REPLY, reply)][:durable]
    for topic, message in before:
        await platform.publish(topic, message)
    await platform.publish(topics.UTTERANCE, said)
    async with sentinel():
        await once(broker, topics.SCREENING, ids([said]))
        await once(broker, topics.ESCALATION, ids([said]))
        await once(broker, topics.REPLY, ids([said]))


async def test_a_reply_given_while_it_runs_is_noticed(
    broker: KafkaSettings, platform: Publisher, sentinel: Start
) -> None:
    """The responder's fallback for an utterance whose transcript was late."""
    heard = utterances(1, "", manifest=[pb.MODALITY_AUDIO])[0]
    async with sentinel():
        await platform.publish(topics.UTTERANCE, heard)
        warm = utterances(1)
        await platform.publish(topics.UTTERANCE, warm[0])
        await once(broker, topics.SCREENING, ids(warm))
        fallback = pb.Reply(context=heard.context, source=pb.REPLY_SOURCE_VETTED_FALLBACK, reason="unscreened")
        await platform.publish(topics.REPLY, fallback)
        await asyncio.sleep(1)
        await platform.publish(topics.TRANSCRIPT, pb.Transcript(context=heard.context, text=CRISIS))
        await once(broker, topics.SCREENING, ids([heard]))
        await once(broker, topics.ESCALATION, ids([heard]))
        (reply,) = await once(broker, topics.REPLY, ids([heard]))
    assert reply.reason == "unscreened"


async def test_a_human_hears_of_it_while_long_texts_are_read(
    broker: KafkaSettings, platform: Publisher, sentinel: Start
) -> None:
    """How soon is measured by `python -m benchmarks.escalation`. Here: not after the long texts that came before."""
    long = utterances(12, "the quick brown fox " * 4_000)
    said = utterances(1)
    async with sentinel():
        await asyncio.gather(*(platform.publish(topics.UTTERANCE, one) for one in [*long, *said]))
        await once(broker, topics.ESCALATION, ids(said))
        await once(broker, topics.SCREENING, ids([*long, *said]))
    at = {
        (record.topic, dict(record.headers)["ce_subject"].decode()): record.timestamp
        for record in await records_of(broker.brokers, [topics.SCREENING.name, topics.ESCALATION.name])
    }
    escalated = at[topics.ESCALATION.name, said[0].context.utterance_id]
    read = [at[topics.SCREENING.name, one.context.utterance_id] for one in long]
    assert escalated <= sorted(read)[-2], (escalated, read)


QUICK = """
edition = "2031.01"
roles = { on_call = "first", supervisor = "then" }
evidence = { labels = ["sadness"], share = 0.9, intensity = 0.9 }
[levels.imminent]
reply = "imminent"
again = "escalated"
hold = true
steps = [{ role = "on_call", every_s = 5, for_s = 5 }, { role = "supervisor", every_s = 5 }]
[levels.elevated]
reply = "elevated"
again = "escalated"
hold = true
steps = [{ role = "on_call", every_s = 86400 }]
"""


async def test_until_a_human_takes_over_it_is_said_again_and_holds_the_conversation(
    broker: KafkaSettings, platform: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sentinels, one of them killed in between; the human uses the command line."""
    policy, group = tmp_path / "policy.toml", f"t{secrets.token_hex(4)}"
    policy.write_text(QUICK)
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    first, second = (
        Process("sentinel", broker, folder, group, MULTIMOOD_SENTINEL_CRISIS_POLICY=str(policy), **NOWHERE)
        for folder in folders
    )
    monkeypatch.setenv("MULTIMOOD_KAFKA_BROKERS", broker.brokers)
    crisis, calm = utterances(1)[0], utterances(1, "The garden is doing well")[0]
    calm.context.conversation_id = crisis.context.conversation_id
    later = utterances(1, "The garden is doing well")[0]
    later.context.conversation_id = crisis.context.conversation_id

    async def notices() -> list[tuple[int, str]]:
        found = await messages_of(broker.brokers, topics.ESCALATION, ids([crisis]))
        return [(one.notice, one.notify) for one in found]

    async def until(count: int) -> None:
        deadline = time.monotonic() + 60
        while len(await notices()) < count:
            assert time.monotonic() < deadline, await notices()
            await asyncio.sleep(0.2)

    async with first, second:
        await platform.publish(topics.UTTERANCE, crisis)
        await until(2)
        first.kill()
        await platform.publish(topics.UTTERANCE, calm)
        await until(4)
        (held,) = await once(broker, topics.SCREENING, ids([calm]))
        listed = await asyncio.to_thread(CliRunner().invoke, app, ["escalations", "--json"])
        (ours,) = [one for one in json.loads(listed.stdout) if one["utterance_id"] == crisis.context.utterance_id]
        said = ["escalations", "ack", ours["escalation_id"], "--by", "night shift"]
        assert (await asyncio.to_thread(CliRunner().invoke, app, said)).exit_code == 0
        before = await notices()
        await asyncio.sleep(7)
        await platform.publish(topics.UTTERANCE, later)
        (free,) = await once(broker, topics.SCREENING, ids([later]))
        assert before == await notices()
    assert before[:4] == [(0, "on_call"), (1, "supervisor"), (2, "supervisor"), (3, "supervisor")]
    assert len(set(before)) == len(before)
    assert (held.held, free.held) == (True, False)
    assert (ours["level"], ours["told"]) == ("imminent", "supervisor")
    for folder in folders:
        assert "canary" not in (folder.parent / folder.name / "sentinel.log").read_text()


async def test_files_that_cannot_work_end_the_process_with_2(tmp_path: Path) -> None:
    names = ("RULES", "WEIGHTS", "REPLIES", "CRISIS_POLICY")
    cases = [{f"MULTIMOOD_SENTINEL_{name}": str(tmp_path / f"no-{name}")} for name in names]
    for name, (code, said) in zip(names, await all_end("sentinel", *cases), strict=True):
        assert code == 2, said
        assert f"no-{name}".encode() in said
        assert b"Traceback" not in said
