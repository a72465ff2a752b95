"""Kill the reward service at any point, let the dead one go on writing, read anything again: each row is there once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reward_events import (
    PSEUDONYMS,
    MemoryBus,
    MemorySource,
    MemoryStore,
    Record,
    context,
    decision,
    record,
    reply,
    row_of,
    vetted,
)  # fmt: skip

from multimood import topics
from multimood.bus import Delivery
from multimood.bus.acks import OffsetTracker
from multimood.bus.envelope import decode
from multimood.contracts.v1 import events_pb2 as pb
from multimood.experience import merge, rows
from multimood.experience.table import EXPERIENCE_TABLE, FEEDBACK_TABLE, batches, merged
from multimood.experience.writer import LogWriter
from multimood.topics import Topic
from multimood.trust import PrivacyJudge, ReplyRules, TrustWeights
from services.reward.agent import Reward, RewardProcessor
from services.reward.feedback import FeedbackLog
from services.reward.memory import Memory
from services.reward.scoring import Scorer
from services.reward.settings import RewardSettings

pytestmark = pytest.mark.property

RULES, WEIGHTS = ReplyRules.load(), TrustWeights.load()
INPUTS = (topics.DECISION, topics.REPLY, topics.FEEDBACK)
SETTINGS = RewardSettings(flush_s=0.001, decision_wait_s=0.02, reply_wait_s=0.03, feedback_wait_s=0.02)
FAR = 254
"""Offsets begin here, so that a few records lie in two windows."""

Step: TypeAlias = tuple[Literal["deliver", "run", "commit", "kill", "suspend", "store"], int]


@dataclass
class Life:
    """One process: what it was given, and what it did not finish."""

    processor: RewardProcessor
    logs: Sequence[LogWriter]
    memory: Memory
    trackers: dict[str, OffsetTracker] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)


class World:
    """Kafka's topics (one partition each), committed offsets, the store; and the process that lives now."""

    def __init__(self, log: dict[Topic, list[Any]]) -> None:
        self.kafka = {topic: [record(topic, m, FAR + n) for n, m in enumerate(log[topic])] for topic in INPUTS}
        self.committed = dict.fromkeys((topic.name for topic in INPUTS), FAR)
        self.store, self.bus = MemoryStore(slow=2), MemoryBus()
        self.former: list[Life] = []
        self.life = self.begin()

    def begin(self) -> Life:
        memory = Memory()
        logs = [
            LogWriter(self.store, "exp", table, flush_s=SETTINGS.flush_s, longest_pause_s=0.01)
            for table in (EXPERIENCE_TABLE, FEEDBACK_TABLE)
        ]
        bus = self.bus.bus
        scorer = Scorer([PrivacyJudge(RULES)], WEIGHTS, RULES, concurrency=2)
        processor = RewardProcessor(
            bus,
            Reward(bus, scorer, logs[0], memory, bucket="exp", pseudonyms=PSEUDONYMS),
            FeedbackLog(bus, logs[1], memory, SETTINGS.feedback_wait_s, PSEUDONYMS),
            logs=logs,
            memory=memory,
            settings=SETTINGS,
        )
        for number, out in enumerate(self.bus.published):
            published = record(out.topic, out.message, number)
            processor.recover(
                out.topic, decode(out.topic, published.value, published.headers, published.key, published.offset)
            )
        return Life(processor, logs, memory)

    async def deliver(self, topic: Topic, count: int) -> None:
        life, records = self.life, self.kafka[topic]
        start = life.read.get(topic.name, self.committed[topic.name] - FAR)
        batch: list[Record] = records[start : start + count]
        if not batch:
            return
        tracker = life.trackers.setdefault(topic.name, OffsetTracker(batch[0].offset))
        for one in batch:
            tracker.open(one.offset)
        life.read[topic.name] = start + len(batch)
        await life.processor.process([Delivery(topic, one, tracker, 0) for one in batch])

    def commit(self) -> None:
        for name, tracker in self.life.trackers.items():
            self.committed[name] = max(self.committed[name], tracker.position)

    async def end(self, *, dead: bool) -> None:
        """The process is killed, or suspended and taken for dead: then it goes on, but commits nothing any more."""
        if dead:
            await bury(self.life)
        else:
            self.former.append(self.life)
        self.life = self.begin()

    async def step(self, step: Step) -> None:
        match step:
            case "deliver", number:
                await self.deliver(INPUTS[number % 3], number // 3 + 1)
            case "run", rounds:
                for _ in range(min(rounds, 20)):
                    await asyncio.sleep(0)
                await asyncio.sleep(max(0, rounds - 20) / 1000)
            case "commit", _:
                self.commit()
            case "kill", _:
                await self.end(dead=True)
            case "suspend", _:
                await self.end(dead=False)
            case _:
                self.store.down = not self.store.down

    async def settle(self) -> None:
        """Everything that was published is read and acknowledged by somebody."""
        self.store.down = False
        async with asyncio.timeout(20):
            for topic in INPUTS:
                await self.deliver(topic, len(self.kafka[topic]))
            while any(tracker.head is not None for tracker in self.life.trackers.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        self.commit()
        for life in (*self.former, self.life):
            await bury(life)


async def bury(life: Life) -> None:
    """End every task of a process at once."""
    joining, feedback = life.processor._joining, life.processor._feedback
    joining._draining = True
    tasks = {*joining._finishing, *feedback._tasks, *([joining._timer] if joining._timer else [])}
    for log in life.logs:
        await log.close()
    while tasks:  # Python 3.11's wait_for, in which the timer sits, may swallow a cancellation
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=0.1)


@st.composite
def traffic(draw: st.DrawFn) -> dict[Topic, list[Any]]:
    """Some utterances, with or without consent, decision and reply; each topic in its own order, with repetitions."""
    log: dict[Topic, list[Any]] = {topic: [] for topic in INPUTS}
    for number in range(draw(st.integers(1, 6))):
        said = context(f"u{number}", consent=draw(st.integers(0, 4)) > 0)
        if draw(st.integers(0, 5)):
            log[topics.DECISION].append(decision(said))
        if draw(st.integers(0, 5)):
            log[topics.REPLY].append(draw(st.sampled_from([reply, vetted]))(said))
        if draw(st.booleans()):
            log[topics.FEEDBACK].append(pb.Feedback(context=said, rating=0.5))
    for topic, messages in log.items():
        repeated = draw(st.lists(st.sampled_from(messages), max_size=2)) if messages else []
        log[topic] = draw(st.permutations([*messages, *repeated]))
    return log


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(0, 17)),
        st.tuples(st.just("run"), st.integers(1, 60)),
        st.tuples(st.sampled_from(["commit", "kill", "suspend", "store"]), st.just(0)),
    ),
    min_size=8,
    max_size=30,
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(traffic(), STEPS)
def test_each_row_is_there_once_whatever_is_killed(log: dict[Topic, list[Any]], steps: list[Step]) -> None:
    async def play() -> World:
        world = World(log)
        for step in steps:
            await world.step(step)
        await world.settle()
        return world

    world = asyncio.run(play())
    assert world.committed == {topic.name: FAR + len(log[topic]) for topic in INPUTS}
    assert world.bus.dead == []
    decided, replied = ({m.context.utterance_id: m for m in log[topic]} for topic in INPUTS[:2])
    scored = [score.context.utterance_id for score in world.bus.scores]
    assert set(scored) == set(replied)
    if not any(step[0] == "suspend" for step in steps):
        assert len(scored) == len(set(scored)), "a second score was published for an utterance"
    everyone = [m.context for messages in log.values() for m in messages]
    consenting = {said.utterance_id for said in everyone if said.privacy.learning_consent}
    learned = consenting & (set(decided) | set(replied))
    found = list(rows(MemorySource(world.store.objects), feedback=True))
    assert sorted(PSEUDONYMS.of_row(row) for row in found) == sorted(learned)
    for row in found:
        name = PSEUDONYMS.of_row(row)
        assert row["has_decision"] == (name in decided)
        assert row["has_reply"] == (name in replied)
        if name in replied:
            scores = [score for score in world.bus.scores if score.context.utterance_id == name]
            assert row["reward"] in [score.reward for score in scores]
        given_ids = [one["feedback_id"] for one in row["feedback"]]
        assert len(given_ids) == len(set(given_ids))
    for key, data in world.store.objects.items():
        table = FEEDBACK_TABLE if key.startswith("feedback") else EXPERIENCE_TABLE
        assert merged(data, [], table) is None
        assert {PSEUDONYMS.of_row(row) for batch in batches(data) for row in batch} <= consenting
    assert not any(b"damaged" in key.encode() for key in world.store.objects)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["decision", "reply", "both"])), min_size=1, max_size=12),
       st.randoms(use_true_random=False))  # fmt: skip
def test_merging_is_idempotent_and_in_any_order(parts: list[tuple[int, str]], rng: Any) -> None:
    def part(number: int, kind: str) -> dict[str, Any]:
        said = context(f"u{number}")
        score = pb.TrustScore(context=said, reward_version="v", reward=0.5)
        decided = decision(said) if kind != "reply" else None
        answered = reply(said) if kind != "decision" else None
        return row_of(decided, answered, score if answered else None)

    pieces = [part(*one) for one in parts]
    data = merged(b"", pieces, EXPERIENCE_TABLE)
    assert data is not None
    rng.shuffle(pieces)
    again = b""
    for piece in pieces:
        again = merged(again, [piece], EXPERIENCE_TABLE) or again
    assert list(rows(MemorySource({"a": again, "a.parquet": again}))) == list(rows(MemorySource({"a.parquet": data})))
    assert merged(data, pieces, EXPERIENCE_TABLE) is None
    for piece in pieces:
        assert merge(piece, piece) == piece
