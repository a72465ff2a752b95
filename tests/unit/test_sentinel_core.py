"""What the sentinel makes of events, what it publishes in which order, and what it never says twice."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from google.protobuf.message import Message

from multimood import topics
from multimood.bus import Bus, Delivery, Event, Following, Output, output
from multimood.bus.acks import OffsetTracker
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import ConfigurationError
from multimood.safety import CrisisPolicy, PersonJudge, Screener, VettedReplies
from multimood.safety.risk import RISK, is_crisis, outranks, verdict_of
from services.sentinel.agent import PartitionMovedError, Sentinel
from services.sentinel.answer import Approved, Opinion, outputs_of
from services.sentinel.said import Said
from services.sentinel.settings import SentinelSettings
from services.sentinel.words import Wordless, words_of

pytestmark = pytest.mark.unit

TEXT, AUDIO, VIDEO = pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO
CRISIS = "I am going to kill myself tonight"
CALM = "The garden is doing well"
SCREENER = Screener.load()
APPROVED = Approved(VettedReplies.load(), CrisisPolicy.load())


def context(utterance_id: str = "u", locale: str = "") -> pb.Context:
    return pb.Context(tenant="t", conversation_id="c", utterance_id=utterance_id, locale=locale)


def utterance(text: str = "", *manifest: pb.Modality, locale: str = "") -> pb.Utterance:
    return pb.Utterance(context=context(locale=locale), text=text, manifest=manifest or ([TEXT] if text else []))


def transcript(text: str = "", missing: pb.MissingReason = pb.MISSING_REASON_UNSPECIFIED) -> pb.Transcript:
    return pb.Transcript(context=context(), text=text, missing=missing)


def event(message: Message) -> Event[Message]:
    topic = next(topic for topic in topics.TOPICS if isinstance(message, topic.message))
    return Event(topic, message, output(topic, message).id, b"t/c", "", time.time_ns() // 1000)


class Wire:
    """The bus as the sentinel sees it: keeps what was published, and can break before any output."""

    def __init__(self, breaks_before: int = -1) -> None:
        self.outputs: list[Output] = []
        self._left = breaks_before

    async def emit(self, outputs: Sequence[Output], _traceparent: str) -> None:
        for out in outputs:
            if self._left == 0:
                raise asyncio.CancelledError
            self._left -= 1
            self.outputs.append(out)
            await asyncio.sleep(0)

    async def dead_letter(self, _delivery: Delivery, error: BaseException, _attempts: int) -> None:
        raise AssertionError(f"nothing may be dead-lettered: {type(error).__name__}")

    def bus(self) -> Bus:
        return Bus(self.emit, self.dead_letter)

    @property
    def names(self) -> list[str]:
        return [type(out.message).__name__ for out in self.outputs]

    def one(self, topic: topics.Topic) -> Message:
        (found,) = [out.message for out in self.outputs if out.topic is topic]
        return found


def sentinel(wire: Wire, knows: Sequence[Output] = (), **settings: object) -> Sentinel:
    made = Sentinel(wire.bus(), SCREENER, APPROVED, SentinelSettings(**settings))
    for out in knows:
        made.learn(Event(out.topic, out.message, out.id, out.key, "", 0))
    return made


# --- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (utterance("hello"), "hello"),
        (utterance("hello", TEXT, AUDIO, VIDEO), "hello"),
        (utterance("hello", AUDIO), "hello"),  # not announced, but there: read it
        (utterance("", AUDIO), None),
        (utterance("", AUDIO, VIDEO), None),
        (utterance("", VIDEO), Wordless(pb.RISK_LEVEL_NONE, "no_language")),
        (utterance(), Wordless(pb.RISK_LEVEL_NONE, "no_language")),
        (utterance(" \n", TEXT, AUDIO), Wordless(pb.RISK_LEVEL_UNSCREENED, "no_words.empty")),
        (transcript("hello"), "hello"),
        (transcript(missing=pb.MISSING_REASON_NO_SPEECH), Wordless(pb.RISK_LEVEL_UNSCREENED, "no_words.no_speech")),
        (transcript(" "), Wordless(pb.RISK_LEVEL_UNSCREENED, "no_words.empty")),
    ],
)
def test_words(message: pb.Utterance | pb.Transcript, expected: str | Wordless | None) -> None:
    assert words_of(message) == expected


# --- risk ----------------------------------------------------------------------------------------------------------


def test_every_level_has_its_place() -> None:
    order = [pb.RISK_LEVEL_UNSPECIFIED, pb.RISK_LEVEL_UNSCREENED, *RISK.values()]
    for (low, first), (high, second) in itertools.product(enumerate(order), repeat=2):
        assert outranks(first, second) == (low > high)
    assert not outranks(99, pb.RISK_LEVEL_UNSPECIFIED), "a level of a later version replaces nothing"
    assert set(order) == set(pb.RiskLevel.values())


def test_unscreened_is_no_crisis_and_no_verdict() -> None:
    assert [level for level in pb.RiskLevel.values() if is_crisis(level)] == [3, 4]
    assert verdict_of(pb.Screening(level=pb.RISK_LEVEL_UNSCREENED)) is None
    assert verdict_of(pb.Screening()) is None
    assert {level: verdict_of(pb.Screening(level=number)).level for level, number in RISK.items()} == {
        level: level for level in ("none", "low", "elevated", "imminent")
    }
    assert verdict_of(pb.Screening(level=pb.RISK_LEVEL_IMMINENT, rules=["a"], version="v")).crisis


# --- what is published ---------------------------------------------------------------------------------------------


async def test_a_crisis_is_escalated_answered_and_screened_in_this_order() -> None:
    wire = Wire()
    assert await sentinel(wire).handle(event(utterance(CRISIS, locale="en-GB"))) == ()
    assert wire.names == ["Escalation", "Reply", "Screening"]
    escalation, reply, screening = (out.message for out in wire.outputs)
    assert escalation.level == screening.level == pb.RISK_LEVEL_IMMINENT
    assert escalation.rules == screening.rules
    assert escalation.version == screening.version == SCREENER.version
    assert abs(escalation.raised_at_us - time.time_ns() // 1000) < 5_000_000
    assert reply.source == pb.REPLY_SOURCE_VETTED_CRISIS
    assert (reply.reason, reply.vetted_id) == ("imminent", f"en-gb.imminent@{APPROVED.replies.version}")
    assert reply.text == APPROVED.replies.reply("imminent", "en-GB").text
    assert "116 123" in reply.text
    assert [hop.service for hop in screening.hops] == ["sentinel"]
    assert wire.outputs[1].id == output(topics.REPLY, utterance(CRISIS)).id
    for out in wire.outputs:
        assert "kill" not in str(out.message)


async def test_an_ordinary_utterance_is_only_screened() -> None:
    wire = Wire()
    await sentinel(wire).handle(event(utterance(CALM)))
    assert wire.names == ["Screening"]
    assert wire.outputs[0].message.level == pb.RISK_LEVEL_NONE


async def test_speech_is_screened_by_its_transcript() -> None:
    wire = Wire()
    it = sentinel(wire)
    await it.handle(event(utterance("", AUDIO)))
    assert wire.names == []
    await it.handle(event(transcript(CRISIS)))
    assert wire.names == ["Escalation", "Reply", "Screening"]


async def test_speech_nobody_could_hear_is_unscreened_and_left_to_the_responder() -> None:
    wire = Wire()
    await sentinel(wire).handle(event(transcript(missing=pb.MISSING_REASON_MODEL_UNAVAILABLE)))
    assert wire.names == ["Screening"]
    assert wire.outputs[0].message.level == pb.RISK_LEVEL_UNSCREENED
    assert list(wire.outputs[0].message.rules) == ["no_words.model_unavailable"]


# --- never twice, and never lost -----------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [0, 1, 2, 3])
async def test_a_crash_loses_nothing_and_repeats_nothing(durable: int) -> None:
    before = Wire(breaks_before=durable)
    if durable < 3:
        with pytest.raises(asyncio.CancelledError):
            await sentinel(before).handle(event(utterance(CRISIS)))
    else:
        await sentinel(before).handle(event(utterance(CRISIS)))
    after = Wire()
    await sentinel(after, knows=before.outputs).handle(event(utterance(CRISIS)))
    assert before.names + after.names == ["Escalation", "Reply", "Screening"]


async def test_a_duplicate_says_nothing_again() -> None:
    wire = Wire()
    it = sentinel(wire)
    for _ in range(3):
        await it.handle(event(utterance(CRISIS)))
    assert len(wire.names) == 3


async def test_an_utterance_that_has_a_reply_gets_no_second_one() -> None:
    fallback = pb.Reply(context=context(), text="x", source=pb.REPLY_SOURCE_VETTED_FALLBACK, reason="unscreened")
    wire = Wire()
    await sentinel(wire, knows=[output(topics.REPLY, fallback)]).handle(event(utterance(CRISIS)))
    assert wire.names == ["Escalation", "Screening"]


async def test_a_reply_that_comes_in_between_is_noticed() -> None:
    fallback = output(topics.REPLY, pb.Reply(context=context(), text="x"))

    class Racing(Wire):
        async def emit(self, outputs: Sequence[Output], traceparent: str) -> None:
            await super().emit(outputs, traceparent)
            if outputs[0].topic is topics.ESCALATION:
                it.learn(Event(fallback.topic, fallback.message, fallback.id, fallback.key, "", 0))

    wire = Racing()
    it = sentinel(wire)
    await it.handle(event(utterance(CRISIS)))
    assert wire.names == ["Escalation", "Screening"]


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(("said", "heard"), [(CALM, CRISIS), (CRISIS, CALM)])
async def test_text_and_transcript_both_count_in_any_order(said: str, heard: str, order: int) -> None:
    wire = Wire()
    it = sentinel(wire)
    both = [utterance(said, TEXT, AUDIO), transcript(heard)]
    for message in both if order == 0 else both[::-1]:
        await it.handle(event(message))
    assert wire.one(topics.ESCALATION).level == pb.RISK_LEVEL_IMMINENT
    assert wire.one(topics.REPLY).source == pb.REPLY_SOURCE_VETTED_CRISIS
    levels = [out.message.level for out in wire.outputs if out.topic is topics.SCREENING]
    assert levels[-1] == pb.RISK_LEVEL_IMMINENT
    assert all(outranks(new, old) for old, new in itertools.pairwise(levels))


async def test_words_replace_their_absence_and_not_the_other_way_round() -> None:
    wire = Wire()
    it = sentinel(wire)
    await it.handle(event(transcript(missing=pb.MISSING_REASON_NO_SPEECH)))
    await it.handle(event(transcript(CALM)))
    await it.handle(event(transcript(missing=pb.MISSING_REASON_NO_SPEECH)))
    assert [out.message.level for out in wire.outputs] == [pb.RISK_LEVEL_UNSCREENED, pb.RISK_LEVEL_NONE]


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    said = Said(most=3)
    for number in range(10):
        said.add(pb.Reply(context=context(str(number))))
    assert len(said) == 3
    assert said.lacks(pb.Reply(context=context("6")))
    assert not said.lacks(pb.Reply(context=context("7")))


def test_tenants_do_not_share_a_memory() -> None:
    said = Said()
    said.add(pb.Reply(context=context()))
    other = context()
    other.tenant = "other"
    assert said.lacks(pb.Reply(context=other))


# --- until a human takes over --------------------------------------------------------------------------------------


def of(utterance_id: str, text: str) -> Event[Message]:
    return event(pb.Utterance(context=context(utterance_id), text=text, manifest=[TEXT]))


def acknowledgement(wire: Wire) -> Output:
    (first, *_) = [out.message for out in wire.outputs if out.topic is topics.ESCALATION]
    taken = pb.Acknowledgement(
        context=first.context, escalation_id=first.escalation_id, by="me", acknowledged_at_us=time.time_ns() // 1000
    )
    return output(topics.ACKNOWLEDGEMENT, taken)


def held(wire: Wire) -> dict[str, bool]:
    return {out.message.context.utterance_id: out.message.held for out in wire.outputs if out.topic is topics.SCREENING}


async def test_the_next_words_are_held_at_once_and_until_a_human_takes_over() -> None:
    wire = Wire()
    it = sentinel(wire)
    await it.handle(of("u0", CALM))
    await it.handle(of("x", CRISIS))
    await it.handle(of("u1", CALM))
    out = acknowledgement(wire)
    it.learn(Event(out.topic, out.message, out.id, out.key, "", 0))
    await it.handle(of("u2", CALM))
    assert held(wire) == {"u0": False, "x": False, "u1": True, "u2": False}


async def test_a_further_crisis_joins_the_open_one_and_is_not_told_the_same_again() -> None:
    wire = Wire()
    it = sentinel(wire)
    for name in ("x0", "x1"):
        await it.handle(of(name, CRISIS))
    first, second = (out.message for out in wire.outputs if out.topic is topics.ESCALATION)
    assert first.escalation_id == second.escalation_id == output(topics.ESCALATION, first).id
    assert [out.message.reason for out in wire.outputs if out.topic is topics.REPLY] == ["imminent", "escalated"]


async def test_after_a_crash_the_text_is_still_that_of_the_crisis() -> None:
    before, after = Wire(breaks_before=1), Wire()
    with pytest.raises(asyncio.CancelledError):
        await sentinel(before).handle(of("x", CRISIS))
    await sentinel(after, knows=before.outputs).handle(of("x", CRISIS))
    assert after.one(topics.REPLY).reason == "imminent"


async def test_what_moved_while_it_was_screened_is_taken_up_anew() -> None:
    """What was open is forgotten with the partition: the words would not be held."""
    wire = Wire()
    it = sentinel(wire, inline_chars=0)
    await it.handle(of("x", CRISIS))
    known = wire.outputs[0]
    under_way = asyncio.create_task(it.handle(of("u1", CALM)))
    await asyncio.sleep(0)
    it.handovers.clear()
    with pytest.raises(PartitionMovedError) as moved:
        await under_way
    assert moved.value.retryable
    it.learn(Event(known.topic, known.message, known.id, known.key, "", 0))
    await it.handle(of("u1", CALM))
    assert held(wire) == {"x": False, "u1": True}


async def test_in_a_crisis_that_lasts_the_texts_take_turns_whoever_says_them() -> None:
    wire = Wire()
    it = sentinel(wire)
    await it.handle(of("x0", CRISIS))
    texts = APPROVED.replies.all("escalated")
    by_responder = pb.Reply(context=context("u1"), text="x", vetted_id=f"{texts[0].id}@{APPROVED.replies.version}")
    out = output(topics.REPLY, by_responder)
    it.learn(Event(out.topic, out.message, out.id, out.key, "", 0))
    for number in range(1, len(texts) + 1):
        await it.handle(of(f"x{number}", CRISIS))
    told = [out.message.vetted_id.split("@")[0] for out in wire.outputs if out.topic is topics.REPLY]
    assert told[1:] == [one.id for one in (*texts[1:], texts[0])]


async def test_a_replay_after_a_crash_has_the_text_that_was_its_turn() -> None:
    whole, before, after = Wire(), Wire(breaks_before=4), Wire()
    for wire in (whole, before):
        it = sentinel(wire)
        await it.handle(of("x0", CRISIS))
        try:
            await it.handle(of("x1", CRISIS))
        except asyncio.CancelledError:
            assert wire is before
    assert before.names[-1] == "Escalation"
    await sentinel(after, knows=before.outputs).handle(of("x1", CRISIS))
    told = [out.message.vetted_id for out in whole.outputs if out.topic is topics.REPLY]
    assert [after.one(topics.REPLY).vetted_id] == told[1:]


# --- what is thought of the person ---------------------------------------------------------------------------------

JUDGE = PersonJudge.load()
SIGNS = (
    "I have been writing here for weeks and nothing changes. I cannot sleep and I hate myself.",
    "I tried to kill myself two years ago and I wish it had worked. I do not see a reason to go on.",
    "I think about it every day and I do not tell my mother. I am so tired of myself.",
)


def advised(wire: Wire, knows: Sequence[Output] = ()) -> Sentinel:
    made = Sentinel(wire.bus(), SCREENER, APPROVED, SentinelSettings(), JUDGE)
    for out in knows:
        made.learn(Event(out.topic, out.message, out.id, out.key, "", 0))
    return made


def screenings(wire: Wire) -> dict[str, pb.Screening]:
    return {out.message.context.utterance_id: out.message for out in wire.outputs if out.topic is topics.SCREENING}


async def test_words_of_no_risk_are_low_where_the_person_is_at_risk_and_that_escalates_nothing() -> None:
    wire = Wire()
    it = advised(wire)
    for number, text in enumerate(SIGNS):
        await it.handle(of(f"s{number}", text))
    escalated = wire.names.count("Escalation")
    await it.handle(of("u", CALM))
    found = screenings(wire)["u"]
    assert (found.level, list(found.rules)) == (pb.RISK_LEVEL_LOW, ["person:low"])
    assert found.version == f"{SCREENER.version}+{JUDGE.version}"
    assert wire.names.count("Escalation") == escalated
    assert wire.names[-1] == "Screening"


async def test_of_somebody_who_gave_no_sign_nothing_is_advised() -> None:
    wire = Wire()
    it = advised(wire)
    for number in range(9):
        await it.handle(of(f"u{number}", f"I made soup and I liked it, number {number}"))
    assert {found.level for found in screenings(wire).values()} == {pb.RISK_LEVEL_NONE}


async def test_advice_never_changes_the_verdict_on_words_with_a_risk() -> None:
    plain, other = Wire(), Wire()
    for it in (sentinel(plain), advised(other)):
        for number, text in enumerate((*SIGNS, CRISIS, "I would never kill myself")):
            await it.handle(of(f"s{number}", text))
    for name, found in screenings(plain).items():
        if found.level != pb.RISK_LEVEL_NONE:
            assert (found.level, found.rules) == (screenings(other)[name].level, screenings(other)[name].rules)
    assert plain.names.count("Escalation") == other.names.count("Escalation") > 0


async def test_a_replay_is_told_what_was_thought_of_it_then() -> None:
    wire = Wire()
    it = advised(wire)
    first = of("first", CALM)
    for seen in (first, *(of(f"s{number}", text) for number, text in enumerate(SIGNS)), first):
        await it.handle(seen)
    assert [out.message.level for out in wire.outputs if out.message.context.utterance_id == "first"] == [
        pb.RISK_LEVEL_NONE
    ], "a replay of what was calm is not raised by what came after"


async def test_a_conversation_is_forgotten_with_its_erasure_or_partition() -> None:
    for forget in ("erasure", "partition"):
        wire = Wire()
        it = advised(wire)
        for number, text in enumerate(SIGNS[::2]):
            await it.handle(of(f"s{number}", text))
        assert it.persons is not None
        if forget == "erasure":
            out = output(topics.ERASURE, pb.Erasure(context=context("e"), erased_at_us=1))
            it.learn(Event(out.topic, out.message, out.id, out.key, "", 0))
            assert len(it.persons) == 0
        else:
            it.handovers.clear()
        await it.handle(of("u", CALM))
        assert screenings(wire)["u"].level == pb.RISK_LEVEL_NONE


async def test_a_policy_without_the_table_has_no_advice(tmp_path: Path) -> None:
    from multimood import assets

    own = tmp_path / "own.toml"
    own.write_text(assets.read("crisis_policy.toml").decode().replace("[low]\nperson = 0.5\n", ""))
    assert CrisisPolicy.load().low.person == 0.5
    without = Approved(VettedReplies.load(), CrisisPolicy.load(own))
    assert Sentinel(Wire().bus(), SCREENER, without, SentinelSettings(), JUDGE).persons is None


# --- time ----------------------------------------------------------------------------------------------------------


async def test_a_long_text_does_not_hold_up_a_short_one() -> None:
    wire = Wire()
    it = sentinel(wire)
    long = asyncio.create_task(it.handle(event(utterance("k1ll " * 20_000))))
    await asyncio.sleep(0.02)
    started = time.perf_counter()
    await it.handle(event(utterance(CRISIS)))
    spent = time.perf_counter() - started
    assert not long.done()
    assert spent < 0.1
    await long
    assert len(wire.outputs) == 3, "the same utterance: a milder verdict adds nothing"


# --- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "load",
    [lambda path: Screener.load(path, None), lambda path: Screener.load(None, path), VettedReplies.load],
)
def test_files_that_cannot_work_are_named(tmp_path: Path, load: Callable[[Path], object]) -> None:
    broken = tmp_path / "broken.file"
    with pytest.raises(ConfigurationError, match=r"broken\.file"):
        load(broken)
    broken.write_text("not = [valid")
    with pytest.raises(ConfigurationError, match=r"broken\.file"):
        load(broken)


# --- following -----------------------------------------------------------------------------------------------------


class Record:
    headers: Sequence[tuple[str, bytes]] = ()

    def __init__(self, offset: int, message: Message | None) -> None:
        self.offset = offset
        self.key = b"t/c"
        self.value = message.SerializeToString() if message is not None else b"\xff\xff"


class Inner:
    recovers = ((topics.REPLY, 5),)

    def __init__(self) -> None:
        self.learnt: list[str] = []
        self.processed: list[int] = []
        self.resets = 0

    def recover(self, _topic: topics.Topic, known: Event[Message]) -> None:
        self.learnt.append(known.id)

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        self.processed += [delivery.record.offset for delivery in deliveries]

    def reset(self) -> None:
        self.resets += 1

    async def drain(self, grace_s: float) -> None:
        assert grace_s == 1.0


async def test_followed_records_are_learnt_from_at_once_and_acknowledged() -> None:
    inner = Inner()
    following = Following(inner, topics.REPLY)
    assert following.recovers == inner.recovers
    tracker = OffsetTracker(0)
    reply = pb.Reply(context=context())
    deliveries = []
    for offset, message in enumerate((reply, None)):
        tracker.open(offset)
        deliveries.append(Delivery(topics.REPLY, Record(offset, message), tracker, 0))
    await following.process(deliveries)
    assert tracker.position == 2
    assert (inner.learnt, inner.processed) == ([output(topics.REPLY, reply).id], [])

    tracker.open(2)
    await following.process([Delivery(topics.UTTERANCE, Record(2, utterance("x")), tracker, 0)])
    assert inner.processed == [2]
    assert tracker.position == 2, "what is not followed is the inner processor's to acknowledge"
    following.reset()
    await following.drain(1.0)
    assert inner.resets == 1


def test_every_output_of_an_opinion_belongs_to_the_utterance() -> None:
    opinion = Opinion(pb.RISK_LEVEL_ELEVATED, ("r",), 0.9, "v")
    for out in outputs_of(context("u9"), opinion, APPROVED, None, pb.Hop(), 7):
        assert out.message.context.utterance_id == "u9"
        assert out.id == output(out.topic, out.message).id
