"""The strategist as a process on a real broker, with the real fusion model on Triton, with a dead one, and killed."""

import asyncio
import itertools
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bus_log import counts, messages_of, records_of
from service_process import Process, ends
from strategist_world import WIDTH, context, embedding, features, reply

from multimood import topics
from multimood.bus import Publisher, output
from multimood.bus.admin import apply_topics
from multimood.contracts.v1 import events_pb2 as pb
from multimood.history import History, PastTurn, history
from multimood.inference import Inference, InferenceClient
from multimood.local.kafka import KafkaServer
from multimood.local.ports import assign
from multimood.local.triton import TritonServer
from multimood.settings import KafkaSettings, TritonSettings
from multimood.taxonomy import EMOTIONS, MESC_STRATEGIES, STAGES
from multimood.topics import Topic
from services.strategist.policy import eligible

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

CANARY = "zq-canary-what-was-said"
TEXT, AUDIO, VIDEO = pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO
MODALITIES = {"text": TEXT, "audio": AUDIO, "video": VIDEO}

Start = Callable[..., Process]


@pytest.fixture(scope="module")
def broker(kafka: KafkaServer) -> KafkaSettings:
    settings = KafkaSettings(brokers=kafka.brokers)
    apply_topics(settings)
    return settings


@pytest.fixture
async def others(broker: KafkaSettings) -> AsyncIterator[Publisher]:
    """The joiner's and the responder's way onto the bus."""
    publisher = Publisher(broker, "others")
    await publisher.start()
    yield publisher
    await publisher.stop()


@pytest.fixture
def strategist(broker: KafkaSettings, tmp_path: Path) -> Start:
    group = f"t{secrets.token_hex(4)}"
    return lambda url, **env: Process("strategist", broker, tmp_path, group, MULTIMOOD_TRITON_URL=url, **env)


@pytest.fixture
async def client(triton: TritonServer) -> AsyncIterator[InferenceClient]:
    own = InferenceClient(TritonSettings(url=triton.url, deadline_s=60))
    yield own
    await own.close()


@pytest.fixture
async def nowhere() -> AsyncIterator[str]:
    """Address of a server that takes connections and never says a word."""
    held: list[asyncio.StreamWriter] = []
    port = assign(["hole"])["hole"]
    server = await asyncio.start_server(lambda _reader, writer: held.append(writer), "127.0.0.1", port)
    yield f"127.0.0.1:{port}"
    for writer in held:
        writer.close()
    server.close()


@asynccontextmanager
async def unready(process: Process) -> AsyncIterator[Process]:
    """A process that works without being ready: its model server is not there."""
    process._process.start()
    try:
        yield process
    finally:
        await process.drained()


async def decided(
    broker: KafkaSettings, wanted: Collection[str], topic: Topic = topics.DECISION, within_s: float = 60
) -> list[Any]:
    """Wait until every utterance has its decision; then there must be one of each."""
    deadline = time.monotonic() + within_s
    while set(counts(found := await messages_of(broker.brokers, topic, wanted))) != set(wanted):
        assert time.monotonic() < deadline, f"{len(set(counts(found)))} of {len(wanted)}"
        await asyncio.sleep(0.05)
    assert len(found) == len(wanted)
    return found


async def states(broker: KafkaSettings, run: str) -> dict[str, pb.Conversation]:
    """The newest state of each conversation of a run."""
    found: dict[str, pb.Conversation] = {}
    for record in await records_of(broker.brokers, [topics.CONVERSATION.name]):
        state = pb.Conversation.FromString(record.value)
        if state.context.conversation_id.startswith(run):
            found[state.context.conversation_id] = state
    return found


async def wait_states(broker: KafkaSettings, run: str, holds: Callable[[dict[str, pb.Conversation]], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds(found := await states(broker, run)):
        assert time.monotonic() < deadline, {name: (state.steps, len(state.turns)) for name, state in found.items()}
        await asyncio.sleep(0.1)


async def ask(client: InferenceClient, told: History | None = None, **vectors: np.ndarray) -> Inference:
    inputs = {
        name: vectors.get(name, np.full(WIDTH[one], np.nan, np.float32))[None] for name, one in MODALITIES.items()
    }
    inputs["present"] = np.array([[name in vectors for name in MODALITIES]], np.float32)
    inputs |= {name: array[None] for name, array in (told or history((), 0))._asdict().items()}
    return await client.infer("fusion", inputs)


# --- the served model ------------------------------------------------------------------------------------------------


async def test_the_served_model_answers_every_mask_with_distributions(client: InferenceClient) -> None:
    chance = np.random.default_rng(0)
    vectors = {name: chance.standard_normal(WIDTH[one]).astype(np.float32) / 20 for name, one in MODALITIES.items()}
    felt = dict(zip(EMOTIONS, chance.dirichlet(np.ones(8)), strict=True))
    told = history([PastTurn(own=True, vector=vectors["text"], felt=felt), PastTurn(own=False, done="approval")], 6)
    sizes = {
        "emotion": 8, "modality_emotion": (3, 8), "stage": 3, "system_emotion": 8, "strategy_mesc": 10,
        "strategy_esconv": 8,
    }  # fmt: skip
    emotions = {}
    for mask in itertools.product((False, True), repeat=3):
        present = {name: vectors[name] for name, here in zip(MODALITIES, mask, strict=True) if here}
        for before in (None, told):
            found = (await ask(client, before, **present)).outputs
            assert set(found) == {*sizes, "intensity"}
            assert 0 <= float(found["intensity"][0, 0]) <= 1
            for name, size in sizes.items():
                assert found[name].shape[1:] == (size if isinstance(size, tuple) else (size,)), name
                assert np.isfinite(found[name]).all(), (mask, name)
                assert found[name].sum(axis=-1) == pytest.approx(1, abs=1e-4), (mask, name)
            for place, here in enumerate(mask):
                assert here == (np.ptp(found["modality_emotion"][0, place]) > 1e-4), "absent: uniform"
            emotions[mask, before is None] = found["emotion"][0]
    assert len({tuple(np.round(emotion, 6)) for emotion in emotions.values()}) == len(emotions), "each mask counts"


async def test_the_vector_of_an_absent_modality_is_not_looked_at(client: InferenceClient) -> None:
    chance = np.random.default_rng(1)
    text = chance.standard_normal(384).astype(np.float32)
    answers = []
    for filler in (np.nan, np.inf, 0.0, 7.0):
        inputs = {name: np.full((1, WIDTH[one]), filler, np.float32) for name, one in MODALITIES.items()}
        inputs |= {
            "text": text[None],
            "present": np.array([[1, 0, 0]], np.float32),
            **{name: array[None] for name, array in history((), 0)._asdict().items()},
        }
        answers.append((await client.infer("fusion", inputs)).outputs)
    for answer in answers[1:]:
        for name, array in answer.items():
            assert np.array_equal(array, answers[0][name]), name


async def test_a_batch_is_answered_as_each_alone(client: InferenceClient) -> None:
    chance = np.random.default_rng(2)
    vectors = [
        {
            name: chance.standard_normal(WIDTH[one]).astype(np.float32) / 20
            for name, one in list(MODALITIES.items())[: number % 4]
        }
        for number in range(40)
    ]
    alone = [(await ask(client, **one)).outputs["emotion"] for one in vectors]
    together = await asyncio.gather(*(ask(client, **one) for one in vectors))
    for one, other in zip(alone, together, strict=True):
        assert other.outputs["emotion"] == pytest.approx(one, abs=1e-5)


# --- the service -----------------------------------------------------------------------------------------------------


async def test_a_conversation(
    broker: KafkaSettings, others: Publisher, strategist: Start, triton: TritonServer
) -> None:
    run = secrets.token_hex(4)
    names = [f"{run}-u{number}" for number in range(3)]
    made = [
        features(names[0], f"I failed my exam. {CANARY}", TEXT, conversation=run),
        features(names[1], "My voice says it", TEXT, AUDIO, conversation=run),
        features(names[2], "And my face", TEXT, AUDIO, VIDEO, conversation=run),
    ]
    async with strategist(triton.url) as process:
        for number, one in enumerate(made):
            await others.publish(topics.FEATURES, one)
            await decided(broker, names[: number + 1])
            await others.publish(topics.REPLY, reply(names[number], f"answer {number} {CANARY}", run))
            wanted = 2 * (number + 1)
            await wait_states(broker, run, lambda found, wanted=wanted: len(found[run].turns) == wanted)
        metrics = await process.metrics()
        assert await process.drained() == 0
    found = {one.context.utterance_id: one for one in await decided(broker, names)}
    for number, name in enumerate(names):
        decision = found[name]
        labels = {item.label: item.p for item in decision.strategy}
        assert (decision.override, decision.step) == (pb.OVERRIDE_NONE, number)
        assert tuple(labels) == eligible("mesc", number)
        assert sum(labels.values()) == pytest.approx(1, abs=1e-9)
        assert decision.propensity == labels[decision.chosen] > 0
        assert decision.chosen in MESC_STRATEGIES
        assert [item.label for item in decision.user_emotion] == list(EMOTIONS)
        assert sum(item.p for item in decision.user_emotion) == pytest.approx(1, abs=1e-9)
        assert decision.stage in STAGES
        assert len(decision.modality_emotions) == number + 1
        assert [turn.role for turn in decision.dialogue] == [pb.ROLE_USER, pb.ROLE_SYSTEM] * number + [pb.ROLE_USER]
        assert decision.policy_version.startswith("mesc;fusion:1@")
        assert {item.name for item in decision.models} >= {"fusion", "text_encoder"}
        assert [hop.service for hop in decision.hops] == ["joiner", "strategist"]
        assert decision.hops[-1].model_us > 0
    assert "multimood_decisions" in metrics
    for place in (process.log.read_text(), process.spans(), metrics):
        assert CANARY not in place


async def test_a_restart_goes_on_where_it_was(
    broker: KafkaSettings, others: Publisher, strategist: Start, triton: TritonServer
) -> None:
    run = secrets.token_hex(4)
    first, second = f"{run}-u0", f"{run}-u1"
    async with strategist(triton.url):
        await others.publish(topics.FEATURES, features(first, "one", conversation=run))
        (before,) = await decided(broker, [first])
        # The sentinel's answer to the next utterance is faster than the joiner.
        await others.publish(topics.REPLY, reply(second, "at once", run))
        await wait_states(broker, run, lambda found: len(found[run].turns) == 2)
    async with strategist(triton.url):
        await others.publish(topics.REPLY, reply(first, "late", run))
        await wait_states(broker, run, lambda found: len(found[run].turns) == 3)
        for _ in range(2):
            await others.publish(topics.FEATURES, features(first, "one", conversation=run))
            await others.publish(topics.FEATURES, features(second, "two", conversation=run))
        (after,) = await decided(broker, [second])
        await wait_states(broker, run, lambda found: found[run].steps == 2)
        await asyncio.sleep(0.5)
    assert len(await decided(broker, [first, second])) == 2
    assert after.step == 1
    assert [(turn.role, turn.utterance_id) for turn in after.dialogue] == [
        (pb.ROLE_USER, first), (pb.ROLE_SYSTEM, first), (pb.ROLE_USER, second),
    ]  # fmt: skip
    (state,) = (await states(broker, run)).values()
    assert [(turn.role, turn.text) for turn in state.turns] == [
        (pb.ROLE_USER, "one"), (pb.ROLE_SYSTEM, "late"), (pb.ROLE_USER, "two"), (pb.ROLE_SYSTEM, "at once"),
    ]  # fmt: skip
    assert before.chosen
    assert state.turns[2].emotion == after.user_emotion
    assert all(turn.vector for turn in state.turns), "what was said is remembered as the model knows it"


async def test_killed_while_traffic_flows(
    broker: KafkaSettings, others: Publisher, strategist: Start, triton: TritonServer
) -> None:
    run, conversations, turns = secrets.token_hex(4), 8, 25
    names = {
        f"{run}-{conversation}-{turn}": (f"{run}-{conversation}", turn)
        for turn in range(turns) for conversation in range(conversations)
    }  # fmt: skip

    async def flow() -> None:
        for name, (conversation, _) in names.items():
            await others.publish(topics.FEATURES, features(name, name, conversation=conversation))
            if secrets.randbelow(2):
                await others.publish(topics.REPLY, reply(name, f"to {name}", conversation))
            await asyncio.sleep(0.01)

    flowing = asyncio.create_task(flow())
    for _ in range(3):
        async with strategist(triton.url) as process:
            await asyncio.sleep(0.8)
            process.kill()
    async with strategist(triton.url):
        await flowing
        found = await decided(broker, names.keys(), within_s=120)
        ends_at = {f"{run}-{conversation}": turns for conversation in range(conversations)}
        await wait_states(broker, run, lambda now: {name: state.steps for name, state in now.items()} == ends_at)
    by_conversation = defaultdict(list)
    for decision in found:
        conversation, turn = names[decision.context.utterance_id]
        assert decision.step == turn, "no turn was lost or counted twice"
        said = [one.utterance_id for one in decision.dialogue if one.role == pb.ROLE_USER]
        expected = [f"{conversation}-{number}" for number in range(turn + 1)]
        assert said == expected[-len(said) :]
        assert len({(one.role, one.utterance_id) for one in decision.dialogue}) == len(decision.dialogue)
        by_conversation[conversation].append(decision)
    for conversation, state in (await states(broker, run)).items():
        last = max(by_conversation[conversation], key=lambda one: one.step)
        assert [turn for turn in state.turns if turn.role == pb.ROLE_USER][-1].emotion == last.user_emotion


@pytest.mark.parametrize("kind", ["refuses", "silent"])
async def test_without_a_model_server(
    broker: KafkaSettings, others: Publisher, strategist: Start, nowhere: str, kind: str
) -> None:
    run = secrets.token_hex(4)
    closed = assign(["closed"])["closed"]
    url = nowhere if kind == "silent" else f"127.0.0.1:{closed}"
    calm, crisis = f"{run}-calm", f"{run}-crisis"
    limits = {"MULTIMOOD_STRATEGIST_RETRY_BUDGET_S": "1", "MULTIMOOD_STRATEGIST_INFERENCE_S": "0.5"}
    async with unready(strategist(url, **limits)):
        await others.publish(topics.FEATURES, features(calm, conversation=f"{run}-a"))
        await others.publish(topics.FEATURES, features(crisis, conversation=f"{run}-b", level=pb.RISK_LEVEL_IMMINENT))
        (urgent,) = await decided(broker, [crisis])
        (other,) = await decided(broker, [calm])
    assert (urgent.override, urgent.chosen, urgent.propensity) == (pb.OVERRIDE_CRISIS, "", 0)
    assert urgent.hops[-1].produced_at_us - urgent.hops[-1].received_at_us < 300_000
    assert (other.override, other.chosen) == (pb.OVERRIDE_MODEL_UNAVAILABLE, "")
    assert other.dialogue[-1].text == "words"


async def test_a_vector_of_another_model_is_left_out(
    broker: KafkaSettings, others: Publisher, strategist: Start, triton: TritonServer
) -> None:
    name = secrets.token_hex(4)
    made = pb.Features(
        context=context(name, name), manifest=[TEXT, AUDIO], text="words", has_language=True,
        embeddings=[embedding(TEXT), embedding(AUDIO, width=512)],
        screening=pb.Screening(level=pb.RISK_LEVEL_NONE),
    )  # fmt: skip
    async with strategist(triton.url):
        await others.publish(topics.FEATURES, made)
        (decision,) = await decided(broker, [name])
    assert decision.override == pb.OVERRIDE_NONE
    assert [item.modality for item in decision.missing] == [AUDIO]
    assert [item.modality for item in decision.modality_emotions] == [TEXT]
    assert output(topics.DECISION, decision).id


async def test_it_does_not_start_with_settings_that_cannot_work() -> None:
    code, told = await ends("strategist", MULTIMOOD_STRATEGIST_EPSILON="0")
    assert code == 2
    assert b"epsilon" in told
