"""The joiner beside a model: parts in any order, doubled, late; workers that come, go, die and swap at any moment.

The real service in one to three workers around records in memory, in virtual time. Nothing is lost, nothing is joined
twice, and what was whole in time is whole in the record. Where partitions change between living workers the same record
may be there again, under its id.
"""

import asyncio
from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from topology import Topology
from topology_services import joiner, said
from virtual_time import VirtualTime

from multimood import topics
from multimood.contracts.v1 import events_pb2 as pb
from multimood.encoding import topic_of
from multimood.topics import Topic

pytestmark = pytest.mark.property

MODALITIES = (pb.MODALITY_TEXT, pb.MODALITY_VIDEO)
DEADLINE_S = 10.0
SEND_S = 1.0
"""Long enough that much happens while a record is on its way."""


def parts(name: str, modalities: list[pb.Modality]) -> list[tuple[Topic, Any]]:
    """An utterance and all that will be found of it."""
    utterance = said(name, f"c{name}")
    del utterance.manifest[:]
    utterance.manifest.extend(modalities)
    context = utterance.context
    return [
        (topics.UTTERANCE, utterance),
        (topics.SCREENING, pb.Screening(context=context, level=pb.RISK_LEVEL_NONE)),
        *(
            (topic_of(one), pb.Embedding(context=context, modality=one, vector=name.encode() * 4, shape=[len(name)]))
            for one in modalities
        ),
    ]


class Joins(RuleBasedStateMachine):
    """Utterances whose parts come when they come."""

    def __init__(self) -> None:
        super().__init__()
        self.time = VirtualTime()
        self.time.__enter__()
        self.manifests: dict[str, list[pb.Modality]] = {}
        self.unsaid: list[tuple[Topic, Any]] = []
        self.came: defaultdict[str, dict[str, float]] = defaultdict(dict)
        """When each part of an utterance was first published, by topic."""
        self.workers = 1
        self.moved = False

    @initialize(workers=st.integers(1, 3))
    def begin(self, workers: int) -> None:
        async def opened() -> Topology:
            service = joiner(deadline_s=DEADLINE_S, orphan_s=100_000)
            top = await Topology(service, send_s=SEND_S).__aenter__()
            for _ in range(workers - 1):
                top.start("joiner")
            return top

        self.workers = workers
        self.top = self.time.run(opened())

    # --- what the world does ---------------------------------------------------------------------------------------

    @rule(modalities=st.lists(st.sampled_from(MODALITIES), unique=True))
    def say(self, modalities: list[pb.Modality]) -> None:
        name = f"u{len(self.manifests)}"
        self.manifests[name] = sorted(modalities)
        self.unsaid += parts(name, self.manifests[name])

    @precondition(lambda self: self.unsaid)
    @rule(which=st.lists(st.integers(0, 100), min_size=1, max_size=6), again=st.booleans())
    def come(self, which: list[int], again: bool) -> None:
        for number in which:
            if self.unsaid:
                self.publish(self.unsaid.pop(number % len(self.unsaid)), again=again)

    def publish(self, part: tuple[Topic, Any], *, again: bool = False) -> None:
        topic, message = part
        for _ in range(2 if again else 1):
            self.top.publish(topic, message)
        self.came[message.context.utterance_id].setdefault(topic.name, self.time.now)

    @precondition(lambda self: self.came)
    @rule(which=st.integers(0, 100))
    def come_again(self, which: int) -> None:
        name = sorted(self.came)[which % len(self.came)]
        for topic, message in parts(name, self.manifests[name]):
            if topic.name in self.came[name]:
                self.top.publish(topic, message)

    @rule(seconds=st.sampled_from([0.1, 0.1, 0.5, 0.9, 9.999, 10.0]))
    def pass_time(self, seconds: float) -> None:
        self.time.run(asyncio.sleep(seconds))

    @rule()
    def commit(self) -> None:
        self.top.commit("joiner")

    @rule(number=st.integers(0, 2), in_order=st.booleans())
    def replace(self, number: int, in_order: bool) -> None:
        """A worker is killed, or ends in order, and another one comes."""
        self.moved |= self.workers > 1
        end = self.top.leave if in_order else self.top.kill
        self.time.run(end("joiner", number % self.workers))
        self.time.run(self.start())

    @rule(commit=st.booleans(), swap=st.booleans())
    def rebalance(self, commit: bool, swap: bool) -> None:
        if swap:
            self.top.members["joiner"].reverse()
            self.moved |= self.workers > 1
        self.time.run(self.moving(commit))

    async def start(self) -> None:
        self.top.start("joiner")

    async def moving(self, commit: bool) -> None:
        self.top.rebalance("joiner", commit=commit)

    # --- what must hold --------------------------------------------------------------------------------------------

    def features(self) -> dict[str, pb.Features]:
        """The record of each utterance: the first of its id, as readers keep it."""
        found = self.top.messages(topics.FEATURES)
        if not self.moved:
            assert max(Counter(one.context.utterance_id for one in found).values(), default=1) == 1, "joined twice"
        return {one.context.utterance_id: one for one in reversed(found)}

    @invariant()
    def what_is_joined_is_right(self) -> None:
        for name, joined in self.features().items():
            came = self.came[name]
            assert topics.UTTERANCE.name in came
            vectors = {one.modality for one in joined.embeddings}
            assert sorted([*vectors, *(one.modality for one in joined.missing)]) == self.manifests[name]
            assert all(one.vector == name.encode() * 4 for one in joined.embeddings)
            due = came[topics.UTTERANCE.name] + DEADLINE_S
            in_time = {topic for topic, at in came.items() if at < due}
            assert {one for one in self.manifests[name] if topic_of(one).name in in_time} <= vectors, "came in time"
            assert joined.HasField("screening") or topics.SCREENING.name not in in_time

    @invariant()
    def no_commit_passes_a_part_that_is_not_in_a_record(self) -> None:
        joined = self.features()
        for (_, tp), committed in self.top.broker.committed.items():
            for record in self.top.broker.logs[tp][:committed]:
                assert dict(record.headers)["ce_subject"].decode() in joined  # type: ignore[union-attr]

    def teardown(self) -> None:
        try:
            if self.manifests:
                self.ends()
            self.time.run(self.top.__aexit__(None))
        finally:
            self.time.__exit__()

    def ends(self) -> None:
        """When all has come, everyone has one record, and nothing waits for a deadline."""
        while self.unsaid:
            self.publish(self.unsaid.pop())
        self.time.run(asyncio.sleep(2 * SEND_S))
        assert self.features().keys() == self.manifests.keys(), "not joined though all is there"
        assert self.top.lag("joiner") == 0
        assert all(member.processor.held == 0 for member in self.top.members["joiner"])  # type: ignore[attr-defined]
        self.what_is_joined_is_right()


Joins.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestJoins = Joins.TestCase
