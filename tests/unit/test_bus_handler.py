"""One event in, its outputs out: when it is done, tried again, given up, left to others, or the end of the process."""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from typing import Any

import pytest
from bus_fakes import CANARY, FakeBus, Log, context, record, settle
from google.protobuf.message import Message

from multimood import topics
from multimood.bus import Event, Handler, Output, RetryPolicy, output
from multimood.bus.envelope import decode
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import InvalidMediaError, UnavailableError, UnsendableError

pytestmark = pytest.mark.unit

QUICK = RetryPolicy(first_s=0.001, longest_s=0.002, budget_s=0.02)


def said(utterance: str = "u", conversation: str = "c", text: str = CANARY) -> pb.Utterance:
    return pb.Utterance(context=context(conversation, utterance), manifest=[pb.MODALITY_TEXT], text=text)


def reply_id(event: Event[Message]) -> str:
    return output(topics.REPLY, event.message).id


class Core:
    """Answers, after the failures that it was told."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.seen: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def handle(self, event: Event[Message]) -> Sequence[Output]:
        context: pb.Context = event.message.context  # type: ignore[attr-defined]
        self.seen.append(context.utterance_id)
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        return (output(topics.REPLY, pb.Reply(context=context)),)


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
def fake() -> FakeBus:
    return FakeBus()


@pytest.fixture
def log() -> Log:
    return Log(topics.UTTERANCE)


def handler(fake: FakeBus, core: Core, **options: Any) -> Handler:
    options = {"owns": (topics.UTTERANCE,), "answers": reply_id, "retry": QUICK, **options}
    return Handler("test", fake.bus, core.handle, **options)


async def test_a_record_is_done_only_when_its_output_is_durable(fake: FakeBus, core: Core, log: Log) -> None:
    fake.open.clear()
    await handler(fake, core).process(log.write(said()).deliveries())
    await settle()
    assert (core.seen, log.done) == (["u"], 0)
    fake.open.set()
    await settle()
    assert (len(fake.outputs), log.done) == (1, 1)


async def test_what_comes_again_is_answered_once(fake: FakeBus, core: Core, log: Log) -> None:
    await handler(fake, core).process(log.write(said(), said(), said("other")).deliveries())
    await settle()
    assert (core.seen, len(fake.outputs), log.done) == (["u", "other"], 2, 3)


async def test_what_is_left_to_do_afterwards_is_done_before_the_acknowledgement_and_again(
    fake: FakeBus, core: Core, log: Log
) -> None:
    told: list[tuple[str, int, int]] = []

    async def after(event: Event[Message]) -> None:
        told.append((event.message.context.utterance_id, len(fake.outputs), log.done))  # type: ignore[attr-defined]

    one = handler(fake, core, after=after, on_exhausted=core.handle)
    await one.process(log.write(said(), said()).deliveries())
    await settle()
    assert told == [("u", 1, 0), ("u", 1, 1)], "a record that comes again may come because this was missed"
    core.failures = [ValueError("a bug")]
    await one.process(Log(topics.UTTERANCE).write(said("dead")).deliveries())
    await settle()
    assert len(fake.letters) == 1
    assert len(told) == 2, "a dead letter may be replayed, and needs everything"


async def test_what_an_earlier_life_answered_is_not_answered_again(fake: FakeBus, core: Core, log: Log) -> None:
    learnt: list[str] = []
    one = handler(fake, core, recovers=((topics.REPLY, 10),), on_recovered=lambda event: learnt.append(event.id))
    before = record(topics.REPLY, pb.Reply(context=context()))
    one.recover(topics.REPLY, decode(topics.REPLY, before.value, before.headers, before.key, 0))
    await one.process(log.write(said(), said("new")).deliveries())
    await settle()
    assert (core.seen, log.done) == (["new"], 2)
    assert learnt == [output(topics.REPLY, pb.Reply(context=context())).id]


async def test_recovered_state_does_not_push_out_recovered_answers(
    fake: FakeBus, core: Core, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multimood.bus.handler.SEEN_IDS", 5)
    one = handler(fake, core, recovers=((topics.REPLY, 10), (topics.CONVERSATION, None)))
    for topic, count in ((topics.REPLY, 1), (topics.CONVERSATION, 20)):
        for number in range(count):
            name = "u" if topic is topics.REPLY else f"x{number}"
            found = record(topic, topic.message(context=context("c", name)))
            one.recover(topic, decode(topic, found.value, found.headers, found.key, 0))
    await one.process(log.write(said()).deliveries())
    await settle()
    assert core.seen == []


async def test_a_passing_failure_is_tried_again(fake: FakeBus, core: Core, log: Log) -> None:
    core.failures = [UnavailableError("x"), TimeoutError("x")]
    await handler(fake, core).process(log.write(said()).deliveries())
    await settle(0.02)
    assert (core.seen, len(fake.outputs), fake.letters, log.done) == (["u"] * 3, 1, [], 1)


async def test_the_bus_failing_is_tried_again_too(fake: FakeBus, core: Core, log: Log) -> None:
    fake.failures = [ConnectionResetError()]
    await handler(fake, core).process(log.write(said()).deliveries())
    await settle(0.02)
    assert (len(fake.outputs), log.done) == (1, 1)


async def test_a_failure_that_stays_ends_in_a_dead_letter_within_the_budget(
    fake: FakeBus, core: Core, log: Log
) -> None:
    core.failures = [UnavailableError(str(number)) for number in range(1000)]
    await handler(fake, core).process(log.write(said(), said("behind")).deliveries())
    await settle(0.1)
    ((delivery, error, attempts), *_) = fake.letters
    assert delivery.record is log.records[0]
    assert isinstance(error, UnavailableError)
    assert attempts > 3
    assert log.done == 2


async def test_slow_attempts_use_up_the_budget(fake: FakeBus, log: Log) -> None:
    attempts = []

    async def slow(_event: Event[Message]) -> Sequence[Output]:
        attempts.append(1)
        await asyncio.sleep(0.03)
        raise UnavailableError("x")

    await Handler("test", fake.bus, slow, owns=(), retry=QUICK).process(log.write(said()).deliveries())
    await settle(0.1)
    assert (len(attempts), len(fake.letters)) == (1, 1)


@pytest.mark.parametrize("error", [ValueError(CANARY), InvalidMediaError("x"), UnsendableError("x")])
async def test_what_cannot_work_is_a_dead_letter_at_once(fake: FakeBus, core: Core, log: Log, error: Exception) -> None:
    core.failures = [error]
    await handler(fake, core).process(log.write(said(), said("next")).deliveries())
    await settle()
    assert fake.letters == [(fake.letters[0][0], error, 1)]
    assert (len(fake.outputs), log.done) == (1, 2)


async def test_a_dead_letter_may_come_back(fake: FakeBus, core: Core, log: Log) -> None:
    core.failures = [ValueError()]
    one = handler(fake, core)
    await one.process(log.write(said()).deliveries())
    await settle()
    await one.process(log.write(said()).deliveries(1))
    await settle()
    assert (len(fake.letters), len(fake.outputs), log.done) == (1, 1, 2)


async def test_what_is_exhausted_is_answered_otherwise(fake: FakeBus, core: Core, log: Log) -> None:
    async def give_up(event: Event[Message]) -> Sequence[Output]:
        return (output(topics.REPLY, pb.Reply(context=event.message.context, reason="gave_up")),)  # type: ignore[attr-defined]

    core.failures = [UnavailableError("x") for _ in range(1000)]
    one = handler(fake, core, on_exhausted=give_up)
    await one.process(log.write(said(), said()).deliveries())
    await settle(0.1)
    assert [out.message.reason for out in fake.outputs] == ["gave_up"]  # type: ignore[attr-defined]
    assert (fake.letters, log.done) == ([], 2)
    core.failures = [ValueError()]
    await one.process(log.write(said("poison")).deliveries(2))
    await settle()
    assert len(fake.letters) == 1, "giving up is for what was tried, not for poison"


async def test_giving_up_can_fail_too(fake: FakeBus, core: Core, log: Log) -> None:
    async def give_up(_event: Event[Message]) -> Sequence[Output]:
        raise KeyError(CANARY)

    core.failures = [UnavailableError("x") for _ in range(1000)]
    await handler(fake, core, on_exhausted=give_up).process(log.write(said()).deliveries())
    await settle(0.1)
    assert (type(fake.letters[0][1]), log.done) == (KeyError, 1)


async def test_a_fault_in_naming_the_answer_is_poison_and_not_the_end(fake: FakeBus, core: Core, log: Log) -> None:
    def answers(_event: Event[Message]) -> str:
        raise AssertionError(CANARY)

    await handler(fake, core, answers=answers).process(log.write(said()).deliveries())
    await settle()
    assert (len(fake.letters), log.done, fake.crashes) == (1, 1, [])


@pytest.mark.parametrize(("owned", "letters"), [((topics.UTTERANCE,), 1), ((), 0)])
async def test_only_the_owner_complains_of_what_nobody_can_read(
    fake: FakeBus, core: Core, log: Log, owned: Sequence[topics.Topic], letters: int
) -> None:
    await handler(fake, core, owns=owned).process(log.raw(b"\xff\xff").write(said()).deliveries())
    await settle()
    assert (len(fake.letters), core.seen, log.done) == (letters, ["u"], 2)


async def test_a_conversation_keeps_its_order_while_one_of_it_is_tried_again(
    fake: FakeBus, core: Core, log: Log
) -> None:
    core.failures = [UnavailableError("x"), UnavailableError("x")]
    events = [said("a1", "a"), said("a2", "a"), said("b1", "b")]
    await handler(fake, core, concurrency=1).process(log.write(*events).deliveries())
    await settle(0.05)
    order = [out.message.context.utterance_id for out in fake.outputs]  # type: ignore[attr-defined]
    assert sorted(order) == ["a1", "a2", "b1"]
    assert order.index("a1") < order.index("a2")


async def test_resting_between_attempts_keeps_nobody_else_waiting(fake: FakeBus, core: Core, log: Log) -> None:
    core.failures = [UnavailableError("x")]
    patient = RetryPolicy(first_s=0.2, budget_s=1)
    events = [said("a1", "a"), said("b1", "b")]
    await handler(fake, core, concurrency=1, retry=patient).process(log.write(*events).deliveries())
    await settle(0.02)
    assert [out.message.context.utterance_id for out in fake.outputs] == ["b1"]  # type: ignore[attr-defined]


async def test_what_waits_when_partitions_move_is_left_to_their_next_owner(fake: FakeBus, core: Core, log: Log) -> None:
    core.open.clear()
    one = handler(fake, core)
    await one.process(log.write(said("a1", "a"), said("a2", "a"), said("b1", "b")).deliveries())
    await settle()
    log.move()
    one.reset()
    core.open.set()
    await settle()
    assert core.seen == ["a1", "b1"], "begun is finished, what waited is not begun"
    assert log.done == 0
    await one.process(log.deliveries())
    await settle()
    assert core.seen == ["a1", "b1", "a1", "a2", "b1"], "what was not published is done again"
    assert (len(fake.outputs), log.done) == (3, 3), "and said once"


async def test_one_that_waits_for_a_slot_when_its_partition_moves_is_not_begun(
    fake: FakeBus, core: Core, log: Log
) -> None:
    core.open.clear()
    one = handler(fake, core, concurrency=1)
    await one.process(log.write(said("a1", "a"), said("b1", "b")).deliveries())
    await settle()
    log.move()
    one.reset()
    core.open.set()
    await settle()
    assert core.seen == ["a1"]


async def test_one_that_rests_when_its_partition_moves_passes_no_verdict(fake: FakeBus, core: Core, log: Log) -> None:
    core.failures = [UnavailableError("x") for _ in range(3)]
    one = handler(fake, core, retry=RetryPolicy(first_s=0.02, budget_s=0.03))
    await one.process(log.write(said()).deliveries())
    await settle()
    log.move()
    one.reset()
    await settle(0.05)
    assert (core.seen, fake.letters, fake.outputs, log.done) == (["u"], [], [], 0)
    assert one.held == 0
    core.failures = []
    await one.process(log.deliveries())
    await settle()
    assert (len(fake.outputs), log.done) == (1, 1)


async def test_a_partition_that_moves_while_its_batch_is_taken_is_not_taken_further(
    fake: FakeBus, core: Core, log: Log
) -> None:
    fake.open.clear()
    one = handler(fake, core)
    taking = asyncio.create_task(one.process(log.raw(b"\xff").write(said()).deliveries()))
    await settle()
    log.move()
    one.reset()
    fake.open.set()
    await taking
    await settle()
    assert core.seen == []


async def test_a_dead_letter_that_cannot_be_sent_ends_the_process(fake: FakeBus, core: Core, log: Log) -> None:
    fake.letters_fail = UnsendableError("no room")
    core.failures = [ValueError()]
    await handler(fake, core).process(log.write(said()).deliveries())
    await settle()
    assert [type(error) for error in fake.crashes] == [UnsendableError]
    assert log.done == 0, "the record is read again"


async def test_a_cancellation_from_inside_ends_the_process_rather_than_hanging_it(
    fake: FakeBus, core: Core, log: Log
) -> None:
    core.failures = [asyncio.CancelledError()]
    await handler(fake, core).process(log.write(said()).deliveries())
    await settle()
    assert [type(error) for error in fake.crashes] == [asyncio.CancelledError]
    assert log.done == 0


async def test_draining_ends_what_runs_and_leaves_the_rest_undone(fake: FakeBus, core: Core, log: Log) -> None:
    core.open.clear()
    one = handler(fake, core)
    await one.process(log.write(said()).deliveries())
    await settle()
    await one.drain(0.01)
    assert (log.done, fake.outputs, fake.crashes) == (0, [], [])


async def test_the_trace_goes_on_and_nothing_but_a_trace(fake: FakeBus, core: Core) -> None:
    trace_id = secrets.token_hex(16)
    log = Log(topics.UTTERANCE).write(said("traced"), traceparent=f"00-{trace_id}-{'1' * 16}-01")
    log.write(said("forged"), traceparent=CANARY).write(said("untraced"))
    await handler(fake, core).process(log.deliveries())
    await settle()
    assert fake.traceparents[0].split("-")[1] == trace_id
    assert fake.traceparents[1:] == ["", ""]


async def test_log_lines_name_the_event_and_hold_no_words(
    fake: FakeBus, core: Core, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    core.failures = [UnavailableError("x"), ValueError(CANARY)]
    await handler(fake, core).process(log.write(said()).deliveries())
    await settle(0.02)
    last = caplog.records[-1]
    assert (last.message, last.code, last.attempts, last.topic) == (  # type: ignore[attr-defined]
        "dead letter", "ValueError", 2, topics.UTTERANCE.name,
    )  # fmt: skip
    assert all(CANARY not in entry.getMessage() for entry in caplog.records)
