"""The responder as a process on a real broker, with a model behind an OpenAI-compatible endpoint, and with Triton's."""

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from bus_log import counts, messages_of, records_of
from llm_server import Exchange, LLMServer, chunk, llm_server
from service_process import Process, all_end

from multimood import topics
from multimood.bus import Publisher
from multimood.bus.admin import apply_topics
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.kafka import KafkaServer
from multimood.local.server import Server
from multimood.models import recorded
from multimood.safety import VettedReplies
from multimood.settings import KafkaSettings
from multimood.taxonomy import MESC_STRATEGIES
from multimood.topics import Topic

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

CANARY = "zq-canary-what-was-said"
TOKENS = ["I ", "hear ", "you, ", "and ", "it ", "makes ", "sense. ", "What ", "happened ", "then?"]
REPLY = "".join(TOKENS)

Start = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture(scope="module")
def broker(kafka: KafkaServer) -> KafkaSettings:
    settings = KafkaSettings(brokers=kafka.brokers)
    apply_topics(settings)
    return settings


@pytest.fixture
async def others(broker: KafkaSettings) -> AsyncIterator[Publisher]:
    """The strategist's and the sentinel's way onto the bus."""
    publisher = Publisher(broker, "others")
    await publisher.start()
    yield publisher
    await publisher.stop()


@pytest.fixture
def responder(broker: KafkaSettings, tmp_path: Path) -> Start:
    group = f"t{secrets.token_hex(4)}"
    return lambda env: Process("responder", broker, tmp_path, group, **env)


def at(server: LLMServer, **more: str) -> Mapping[str, str]:
    return {
        "MULTIMOOD_RESPONDER_BACKEND": "openai", "MULTIMOOD_RESPONDER_OPENAI_URL": server.url,
        "MULTIMOOD_RESPONDER_OPENAI_MODEL": "test-model", "MULTIMOOD_RESPONDER_OPENAI_KEY": "zq-key", **more,
    }  # fmt: skip


def decisions(count: int = 1, conversations: int = 7, **fields: Any) -> list[pb.Decision]:
    run = secrets.token_hex(4)
    return [
        pb.Decision(
            context=pb.Context(
                tenant="t", conversation_id=f"{run}-{number % conversations}", utterance_id=f"{run}-u{number}"
            ),
            **{
                "chosen": "open question", "propensity": 0.5, "stage": "exploration",
                "user_emotion": [pb.Probability(label="sadness", p=0.9)],
                "screening": pb.Screening(level=pb.RISK_LEVEL_NONE),
                "dialogue": [pb.Turn(role=pb.ROLE_USER, text=f"I failed my exam. {CANARY}")],
                **fields,
            },
        )
        for number in range(count)
    ]  # fmt: skip


def ids(made: Collection[pb.Decision]) -> set[str]:
    return {one.context.utterance_id for one in made}


async def once(broker: KafkaSettings, wanted: set[str], topic: Topic = topics.REPLY, within_s: float = 60) -> list[Any]:
    """Wait until every utterance has its record; then there must be one of each."""
    deadline = time.monotonic() + within_s
    while set(counts(found := await messages_of(broker.brokers, topic, wanted))) != wanted:
        assert time.monotonic() < deadline, f"{len(set(counts(found)))} of {len(wanted)}"
        await asyncio.sleep(0.1)
    assert len(found) == len(wanted)
    return found


async def attempts(broker: KafkaSettings, utterance_id: str) -> list[str]:
    """The pieces of each attempt, put together."""
    texts: dict[str, dict[int, str]] = defaultdict(dict)
    for piece in await messages_of(broker.brokers, topics.REPLY_DELTA, {utterance_id}):
        assert piece.index not in texts[piece.attempt]
        texts[piece.attempt][piece.index] = piece.text
    for pieces in texts.values():
        assert sorted(pieces) == list(range(len(pieces)))
    return ["".join(pieces[index] for index in sorted(pieces)) for pieces in texts.values()]


async def some_begun(broker: KafkaSettings, wanted: set[str], answered: int) -> bool:
    """Tell whether so many are answered and others have pieces of a reply."""
    begun = counts(await messages_of(broker.brokers, topics.REPLY_DELTA, wanted))
    replies = counts(await messages_of(broker.brokers, topics.REPLY, wanted))
    return len(replies) >= answered and bool(set(begun) - set(replies))


async def kind(exchange: Exchange) -> None:
    await exchange.say(TOKENS, every_s=0.01)


async def test_a_reply_and_its_pieces(broker: KafkaSettings, others: Publisher, responder: Start) -> None:
    (made,) = decisions()
    async with llm_server(kind) as server, responder(at(server)) as process:
        await others.publish(topics.DECISION, made)
        (reply,) = await once(broker, ids([made]))
        metrics = await process.metrics()
        assert await process.drained() == 0
        (asked,) = server.exchanges
    assert (reply.text, reply.source, reply.strategy) == (REPLY, pb.REPLY_SOURCE_GENERATED, "open question")
    assert (reply.model_name, reply.model_version) == ("test-model", "test-model-2026")
    assert (reply.prompt_tokens, reply.completion_tokens) == (11, len(TOKENS))
    assert await attempts(broker, made.context.utterance_id) == [REPLY]
    assert CANARY in asked.body["messages"][-1]["content"]
    assert "sad" in asked.body["messages"][0]["content"]
    assert "multimood_replies" in metrics
    for place in (process.log.read_text(), process.spans(), metrics):
        assert "zq" not in place
        assert "makes sense" not in place


async def test_the_first_piece_is_on_the_bus_soon_after_the_first_words(
    broker: KafkaSettings, others: Publisher, responder: Start
) -> None:
    begun: list[float] = []

    async def slow(exchange: Exchange) -> None:
        await exchange.begin()
        await asyncio.sleep(0.2)
        begun.append(time.time())
        for token in TOKENS:
            await exchange.send(chunk(token))
            await asyncio.sleep(0.02)
        await exchange.send(chunk(finish="stop"))

    made = decisions(10)
    async with llm_server(slow) as server, responder(at(server)):
        for one in made:
            await others.publish(topics.DECISION, one)
            await once(broker, ids([one]))
    found = [
        (dict(record.headers)["ce_subject"].decode(), record.timestamp / 1000)
        for record in await records_of(broker.brokers, [topics.REPLY_DELTA.name])
        if pb.ReplyDelta.FromString(record.value).index == 0
    ]
    first = dict(found)
    waits = [first[one.context.utterance_id] - start for one, start in zip(made, begun, strict=True)]
    # Two further words, 20 ms each, have to be seen before the first one leaves.
    assert sorted(waits)[len(waits) // 2] < 0.04 + 0.05, waits


async def test_killed_in_the_middle_it_answers_once(broker: KafkaSettings, others: Publisher, responder: Start) -> None:
    made, killed = decisions(40), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        if exchange.number < 6 or killed.is_set():
            await exchange.say(TOKENS, every_s=0.05)
            return
        await exchange.begin()
        for token in TOKENS[:6]:
            await exchange.send(chunk(token))
        await asyncio.Event().wait()  # until its reader is gone: it is killed in the middle of these, and of no others

    async with llm_server(slow) as server:
        environment = at(server, MULTIMOOD_RESPONDER_GENERATIONS="3")
        async with responder(environment) as process:
            for one in made:
                await others.publish(topics.DECISION, one)
            while not await some_begun(broker, ids(made), answered=5):  # noqa: ASYNC110
                await asyncio.sleep(0)
            process.kill()
        killed.set()
        async with responder(environment):
            replies = await once(broker, ids(made))
    assert {reply.text for reply in replies} == {REPLY}
    texts = [await attempts(broker, one) for one in ids(made)]
    assert any(len(told) > 1 for told in texts), "some were begun twice, and are told apart"
    assert all(REPLY.startswith(text) for told in texts for text in told)


async def test_duplicates_and_what_others_have_answered(
    broker: KafkaSettings, others: Publisher, responder: Start
) -> None:
    before, during = decisions(5), decisions(5)
    crisis = decisions(3, override=pb.OVERRIDE_CRISIS, screening=pb.Screening(level=pb.RISK_LEVEL_IMMINENT))
    for one in before:
        await others.publish(topics.REPLY, pb.Reply(context=one.context, source=pb.REPLY_SOURCE_VETTED_CRISIS))
    async with llm_server(kind) as server, responder(at(server)):
        warm = decisions(7)
        for one in warm:
            await others.publish(topics.DECISION, one)
        await once(broker, ids(warm))
        for one in during:
            await others.publish(topics.REPLY, pb.Reply(context=one.context, source=pb.REPLY_SOURCE_VETTED_CRISIS))
        await asyncio.sleep(1)
        fresh = decisions(5)
        for one in (*before, *during, *crisis, *fresh, *fresh):
            await others.publish(topics.DECISION, one)
        await once(broker, ids(fresh))
        await asyncio.sleep(1)
        replies = await once(broker, ids([*before, *during]))
        assert {reply.source for reply in replies} == {pb.REPLY_SOURCE_VETTED_CRISIS}
        assert not await messages_of(broker.brokers, topics.REPLY, ids(crisis))
        assert len(server.exchanges) == len(warm) + len(fresh)


async def test_without_a_model_there_are_vetted_replies_soon(
    broker: KafkaSettings, others: Publisher, responder: Start
) -> None:
    async def broken(exchange: Exchange) -> None:
        await exchange.refuse("500 Oops")

    async def dies(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.send(chunk("I hear ") + chunk("you and "))

    made = decisions(6)
    quick = {"MULTIMOOD_RESPONDER_FIRST_TOKEN_S": "1", "MULTIMOOD_RESPONDER_WHOLE_S": "2"}
    async with llm_server(dies, broken) as server, responder(at(server, **quick)):
        await others.publish(topics.DECISION, made[0])
        await once(broker, ids(made[:1]))
        started = time.monotonic()
        for one in made[1:]:
            await others.publish(topics.DECISION, one)
        replies = await once(broker, ids(made))
        assert time.monotonic() - started < 10
    assert {(reply.source, reply.reason) for reply in replies} == {
        (pb.REPLY_SOURCE_VETTED_FALLBACK, "model_unavailable")
    }
    assert {reply.text for reply in replies} == {VettedReplies.load().reply("unavailable").text}


async def test_the_guard_stands_between_the_model_and_the_bus(
    broker: KafkaSettings, others: Publisher, responder: Start
) -> None:
    async def vile(exchange: Exchange) -> None:
        await exchange.say(["Well. ", "You ", "should ", "kill ", "yourself ", "and ", "rest."])

    (made,) = decisions()
    async with llm_server(vile) as server, responder(at(server)):
        await others.publish(topics.DECISION, made)
        (reply,) = await once(broker, ids([made]))
    assert (reply.source, reply.reason) == (pb.REPLY_SOURCE_VETTED_FALLBACK, "encourages_harm")
    assert all("kill" not in text for text in await attempts(broker, made.context.utterance_id))


async def test_what_is_refused_is_written_anew_and_the_reply_tells_of_it(
    broker: KafkaSettings, others: Publisher, responder: Start
) -> None:
    async def vile(exchange: Exchange) -> None:
        await exchange.say(["You ", "should ", "kill ", "yourself ", "and ", "rest."])

    (made,) = decisions()
    async with llm_server(vile, kind) as server, responder(at(server)) as process:
        await others.publish(topics.DECISION, made)
        (reply,) = await once(broker, ids([made]))
        log = process.log.read_text()
    assert (reply.text, reply.source) == (REPLY, pb.REPLY_SOURCE_GENERATED)
    assert [(one.index, one.sent) for one in reply.attempts] == [(0, False), (1, True)]
    assert list(reply.attempts[0].faults) == ["encourages_harm", "en.harm.encourage"]
    assert all("kill" not in text for text in await attempts(broker, made.context.utterance_id))
    assert "kill" not in log


async def test_a_drain_lets_replies_be_finished(broker: KafkaSettings, others: Publisher, responder: Start) -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.say(TOKENS, every_s=0.2)

    (made,) = decisions()
    async with llm_server(slow) as server, responder(at(server)) as process:
        await others.publish(topics.DECISION, made)
        while not await messages_of(broker.brokers, topics.REPLY_DELTA, ids([made])):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert await process.drained() == 0
        (reply,) = await once(broker, ids([made]), within_s=1)
    assert reply.text == REPLY


# --- with the model on Triton --------------------------------------------------------------------------------------


async def test_replies_from_tritons_model(
    broker: KafkaSettings, others: Publisher, responder: Start, triton: Server
) -> None:
    made = [decisions(1, chosen=strategy, conversations=1)[0] for strategy in MESC_STRATEGIES]
    environment = {"MULTIMOOD_TRITON_URL": f"127.0.0.1:{triton.ports['triton.grpc']}"}  # type: ignore[attr-defined]
    async with responder(environment):
        for one in made:
            await others.publish(topics.DECISION, one)
        replies = await once(broker, ids(made), within_s=120)
    (shipped,) = recorded("responder").files.values()
    generated = [reply for reply in replies if reply.source == pb.REPLY_SOURCE_GENERATED]
    assert len(generated) >= len(made) / 2, [reply.reason for reply in replies]
    for reply in generated:
        assert (reply.model_name, reply.model_version) == ("responder", f"1@{shipped[:12]}")
        assert reply.prompt_tokens > 20
        assert 0 < reply.completion_tokens <= 96
        if (
            len(reply.attempts) == 1
        ):  # what was told before a refusal cannot be taken back: the next one comes as a whole
            assert await attempts(broker, reply.context.utterance_id) == [reply.text]
    assert any(len(reply.attempts) == 1 for reply in generated)


async def test_files_and_settings_that_cannot_work_end_the_process_with_2(tmp_path: Path) -> None:
    missing, prefix = str(tmp_path / "nothing-here"), "MULTIMOOD_RESPONDER_"
    cases = (
        ({"PROMPT": missing}, "nothing-here"), ({"REPLIES": missing}, "nothing-here"),
        ({"REPLY_RULES": missing}, "nothing-here"), ({"BACKEND": "openai"}, "OPENAI_URL"),
        ({"MAX_TOKENS": "0"}, "MAX_TOKENS"),
        ({"BACKEND": "openai", "OPENAI_URL": "no-url", "OPENAI_MODEL": "m"}, "no-url"),
    )  # fmt: skip
    environments = [{f"{prefix}{name}": value for name, value in settings.items()} for settings, _ in cases]
    for (_, named), (code, said) in zip(cases, await all_end("responder", *environments), strict=True):
        assert code == 2, said
        assert named.lower() in said.decode().lower()
        assert b"Traceback" not in said
