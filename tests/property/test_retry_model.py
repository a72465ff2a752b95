"""Retries and dead letters beside a model: whatever fails, moves, dies or comes again, each record has its one outcome.

The real `Handler` in one to three workers around records in memory, in virtual time. With one worker every answer is
published exactly once; where partitions change between living workers the same answer may be there again, under its id.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from google.protobuf.message import Message
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from topology import Record, Service, Topology
from topology_services import said
from virtual_time import VirtualTime

from multimood import topics
from multimood.bus import Bus, Event, Handler, Output, RetryPolicy, output
from multimood.bus.letters import Letter
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError

pytestmark = pytest.mark.property

RETRY = RetryPolicy(first_s=0.05, longest_s=1.0, budget_s=5.0)
TAKES_S = SEND_S = 0.02
FATES = ("fine", "fine", "flaky", "poison", "down")
"""Answered; answered at the third attempt; raises what cannot work; raises for ever what might."""


def answer(event: Event[Message]) -> Output:
    return output(topics.REPLY, pb.Reply(context=event.message.context))  # type: ignore[attr-defined]


@dataclass
class Core:
    """Does what an event's text says."""

    failures: Counter[str] = field(default_factory=Counter)
    running: set[str] = field(default_factory=set)

    async def handle(self, event: Event[Message]) -> Sequence[Output]:
        assert isinstance(event.message, pb.Utterance)
        name, fate = event.message.context.utterance_id, event.message.text
        await asyncio.sleep(TAKES_S)
        if fate == "poison":
            raise ValueError(name)
        if fate == "down" or (fate == "flaky" and self.failures[name] < 2):
            self.failures[name] += 1
            raise UnavailableError(name)
        return (answer(event),)

    def handler(self, bus: Bus) -> Handler:
        return Handler(
            "echo", bus, self.handle, owns=(topics.UTTERANCE,), answers=lambda event: answer(event).id,
            recovers=((topics.REPLY, 1_000),), concurrency=2, retry=RETRY,
        )  # fmt: skip


class Retries(RuleBasedStateMachine):
    """Records in three conversations, each with a fate; workers that come, go, die and swap."""

    def __init__(self) -> None:
        super().__init__()
        self.time = VirtualTime()
        self.time.__enter__()
        self.fates: dict[str, str] = {}
        self.events: list[tuple[pb.Utterance, Record]] = []
        self.workers = 1
        self.moved = False
        """A record may have been in two workers' hands."""

    @initialize(workers=st.integers(1, 3))
    def begin(self, workers: int) -> None:
        async def opened() -> Topology:
            service = Service("echo", (topics.UTTERANCE,), Core().handler)
            top = await Topology(service, send_s=SEND_S).__aenter__()
            for _ in range(workers - 1):
                top.start("echo")
            return top

        self.workers = workers
        self.top = self.time.run(opened())

    # --- what the world does ---------------------------------------------------------------------------------------

    @rule(conversation=st.sampled_from("abc"), fate=st.sampled_from(FATES))
    def say(self, conversation: str, fate: str) -> None:
        name = f"{conversation}{len(self.fates)}"
        self.fates[name] = fate
        self.publish(said(name, conversation, fate))

    @rule(which=st.integers(0, 30))
    def say_again(self, which: int) -> None:
        if self.events:
            self.publish(self.events[which % len(self.events)][0])

    def publish(self, utterance: pb.Utterance) -> None:
        (record,) = self.top.publish(topics.UTTERANCE, utterance)
        self.events.append((utterance, record))

    @rule()
    def garbage(self) -> None:
        self.top.raw(topics.UTTERANCE, b"\xff", b"t/a", [("own", b"\0")])

    @rule(seconds=st.sampled_from([0.005, 0.01, 0.02, 0.035, 0.3, 2.0, 6.0]))
    def pass_time(self, seconds: float) -> None:
        self.time.run(asyncio.sleep(seconds))

    @rule()
    def commit(self) -> None:
        self.top.commit("echo")

    @rule(outage=st.booleans())
    def broker(self, outage: bool) -> None:
        (self.top.broker.up.clear if outage else self.top.broker.up.set)()

    @rule(number=st.integers(0, 2))
    def kill(self, number: int) -> None:
        self.moved |= self.workers > 1
        self.time.run(self.top.kill("echo", number % self.workers))
        self.time.run(self.start())

    @rule(number=st.integers(0, 2), grace_s=st.sampled_from([0.0, 0.02, 10.0]))
    def leave(self, number: int, grace_s: float) -> None:
        self.moved |= self.workers > 1
        self.time.run(self.top.leave("echo", number % self.workers, grace_s))
        self.time.run(self.start())

    @rule(commit=st.booleans(), swap=st.booleans())
    def rebalance(self, commit: bool, swap: bool) -> None:
        if swap:
            self.top.members["echo"].reverse()
            self.moved |= self.workers > 1
        self.time.run(self.moving(commit))

    async def start(self) -> None:
        self.top.start("echo")

    async def moving(self, commit: bool) -> None:
        self.top.rebalance("echo", commit=commit)

    # --- what must hold --------------------------------------------------------------------------------------------

    @property
    def answered(self) -> list[str]:
        return [reply.context.utterance_id for reply in self.top.messages(topics.REPLY)]

    def buried(self) -> Counter[tuple[int, int]]:
        """Letters by the partition and offset where they died."""
        letters = map(Letter.of, self.top.letters(topics.UTTERANCE))
        return Counter((letter.origin.partition, letter.origin.offset) for letter in letters)

    @invariant()
    def only_what_can_be_answered_is_and_the_rest_is_kept_as_it_was(self) -> None:
        assert all(self.fates[name] in {"fine", "flaky"} for name in self.answered)
        if not self.moved:
            assert max(Counter(self.answered).values(), default=1) == 1, "answered twice"
        for letter in self.top.letters(topics.UTTERANCE):
            origin = Letter.of(letter).origin
            original = self.top.broker.logs[topics.UTTERANCE.name, origin.partition][origin.offset]
            assert (letter.key, letter.value) == (original.key, original.value)
            assert letter.headers[: len(original.headers)] == original.headers

    @invariant()
    def no_commit_passes_what_has_no_outcome(self) -> None:
        answered, buried = set(self.answered), self.buried()
        for (_, tp), committed in self.top.broker.committed.items():
            for record in self.top.broker.logs[tp][:committed]:
                fate = dict(record.headers).get("ce_subject", b"").decode()
                assert fate in answered or (record.partition, record.offset) in buried

    @invariant()
    def a_conversation_keeps_its_order(self) -> None:
        for conversation in "abc":
            first = list(dict.fromkeys(name for name in self.answered if name.startswith(conversation)))
            assert first == sorted(first, key=lambda name: int(name[1:]))

    def teardown(self) -> None:
        try:
            if self.events:
                self.ends()
            self.time.run(self.top.__aexit__(None))
        finally:
            self.time.__exit__()

    def ends(self) -> None:
        """Left alone, everything is done within the budgets of what stays down, one behind the other."""
        self.top.broker.up.set()
        down = Counter(
            record.partition
            for utterance, record in self.events
            if self.fates[utterance.context.utterance_id] == "down"
        )
        budgets = max(down.values(), default=0) * (RETRY.budget_s + TAKES_S)
        self.time.run(asyncio.sleep(budgets + 0.5 * len(self.events) + 1))
        assert self.top.lag("echo") == 0, "something waits for longer than its budget"
        assert all(member.processor.held == 0 for member in self.top.members["echo"])  # type: ignore[attr-defined]
        assert set(self.answered) == {name for name, fate in self.fates.items() if fate in {"fine", "flaky"}}
        buried = self.buried()
        for utterance, record in self.events:
            is_dead = self.fates[utterance.context.utterance_id] in {"poison", "down"}
            assert ((record.partition, record.offset) in buried) == is_dead
        self.only_what_can_be_answered_is_and_the_rest_is_kept_as_it_was()
        self.a_conversation_keeps_its_order()


Retries.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestRetries = Retries.TestCase
