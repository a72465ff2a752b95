"""What is known of utterances, and what an open call is told of it."""

import asyncio

import pytest

from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from services.gateway.narration import SETTLE_S, Narration
from services.gateway.outcomes import ENTRY_BYTES, Outcomes
from services.gateway.turn import Key

pytestmark = pytest.mark.unit

KEY = Key("acme", "c", "u")
GENERATED, CRISIS = pb.REPLY_SOURCE_GENERATED, pb.REPLY_SOURCE_VETTED_CRISIS


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


def outcomes(clock: Clock | None = None, most: int = 100, most_bytes: int = 1 << 20, ttl_s: float = 60) -> Outcomes:
    return Outcomes(most=most, most_bytes=most_bytes, ttl_s=ttl_s, clock=clock or Clock())


def delta(index: int, text: str = "x", attempt: str = "one") -> pb.ReplyDelta:
    return pb.ReplyDelta(index=index, text=text, attempt=attempt)


def reply(text: str = "hello", source: pb.ReplySource = GENERATED) -> pb.Reply:
    return pb.Reply(text=text, source=source)


def told(narration: Narration, known: Outcomes, now: float = 0.0) -> list[str]:
    return [str(part.WhichOneof("part")) for part in narration.news(known.get(KEY), now)]


def story(**changes: object) -> Narration:
    fields: dict[str, object] = {
        "wait_for_trust": False, "reply_within_s": 30.0, "trust_within_s": 10.0, "started": 0.0, **changes
    }  # fmt: skip
    return Narration(**fields)


# --- the index -----------------------------------------------------------------------------------------------------


def test_the_first_reply_wins() -> None:
    known = outcomes()
    known.see(KEY, reply("vetted", CRISIS))
    known.see(KEY, reply("generated too late"))
    outcome = known.get(KEY)
    assert outcome is not None
    assert outcome.reply is not None
    assert outcome.reply.text == "vetted"


def test_nobody_is_told_what_the_guard_refused() -> None:
    known = outcomes()
    unsent = pb.Attempt(index=0, faults=["encourages_harm"], text="what was refused")
    known.see(KEY, pb.Reply(text="hello", source=GENERATED, attempts=[unsent, pb.Attempt(index=1, sent=True)]))
    outcome = known.get(KEY)
    assert outcome is not None
    (response,) = story().news(outcome, 0.0)
    assert b"what was refused" not in response.SerializeToString()
    assert [list(one.faults) for one in response.reply.attempts] == [["encourages_harm"], []]


def test_the_newest_trust_score_wins() -> None:
    known = outcomes()
    for reward in (0.2, 0.9):
        known.see(KEY, pb.TrustScore(reward=reward))
    outcome = known.get(KEY)
    assert outcome is not None
    assert outcome.trust is not None
    assert outcome.trust.reward == 0.9


def test_a_reply_after_a_dead_letter_voids_the_rejection_and_not_the_other_way_round() -> None:
    known = outcomes()
    known.see(KEY, gw.Rejected(stage="responder", reason="invalid_event"))
    known.see(KEY, reply())
    known.see(KEY, gw.Rejected(stage="responder", reason="invalid_event"))
    outcome = known.get(KEY)
    assert outcome is not None
    assert outcome.reply is not None
    assert outcome.rejected is None


@pytest.mark.parametrize(
    "other", [Key("other", "c", "u"), Key("acme", "d", "u"), Key("acme", "c", "v"), Key("acme/c", "u", "")]
)
def test_an_outcome_is_found_by_its_full_name_only(other: Key) -> None:
    known = outcomes()
    known.see(KEY, reply())
    assert known.get(other) is None


def test_memory_is_bounded_by_count_bytes_and_age() -> None:
    clock = Clock()
    known = outcomes(clock, most=10)
    for number in range(50):
        known.see(Key("acme", "c", str(number)), reply())
    assert len(known) == 10
    assert known.get(Key("acme", "c", "49"))
    assert known.get(Key("acme", "c", "39")) is None

    known = outcomes(clock, most_bytes=20 * (ENTRY_BYTES + 1000))
    for number in range(50):
        known.see(Key("acme", "c", str(number)), reply("x" * 1000))
    assert known.bytes <= 20 * (ENTRY_BYTES + 1000)
    assert 15 <= len(known) <= 20

    known = outcomes(clock, ttl_s=60)
    for number in range(50):
        known.see(Key("acme", "c", str(number)), reply())
    clock.now += 61
    assert known.get(Key("acme", "c", "7")) is None
    for number in range(50, 100):
        known.see(Key("acme", "c", str(number)), reply())
    assert len(known) == 50, "the old ones went as the new ones came"
    assert known.bytes == sum(slot.bytes for slot in known._slots.values())


def test_the_least_recently_used_go_first() -> None:
    known = outcomes(most=2)
    first, second, third = (Key("acme", "c", str(n)) for n in range(3))
    known.see(first, reply())
    known.see(second, reply())
    known.get(first)
    known.see(third, reply())
    assert known.get(first)
    assert known.get(second) is None


def test_asking_for_what_is_not_there_costs_nothing() -> None:
    known = outcomes()
    for number in range(1000):
        with known.watch(Key("acme", "c", str(number))) as watch:
            assert watch.outcome is None
    assert len(known) == 0
    assert known._watches == {}


def test_what_is_watched_is_never_forgotten() -> None:
    known = outcomes(most=3)
    with known.watch(KEY) as watch:
        known.see(KEY, pb.Decision(chosen="question"))
        for number in range(50):
            known.see(Key("acme", "c", str(number)), reply())
        known.see(KEY, reply())
        assert watch.outcome is not None
        assert watch.outcome.decision is not None, "what was known before is still there"
        assert watch.outcome.reply is not None
    for number in range(50, 60):
        known.see(Key("acme", "c", str(number)), reply())
    assert known.get(KEY) is None
    assert len(known) == 3


def test_an_erased_conversation_is_forgotten_and_its_utterances_stay_accepted() -> None:
    known = outcomes()
    others = [Key("acme", "d", "u"), Key("other", "c", "u")]
    for key in (KEY, *others):
        known.see(key, pb.Utterance())
        known.see(key, reply())
    watched = Key("acme", "c", "open")
    known.see(watched, reply())
    with known.watch(watched):
        known.forget("acme", "c")
    found = known.get(KEY)
    assert found is not None
    assert (found.accepted, found.reply) == (True, None)
    assert all((one := known.get(key)) is not None and one.reply == reply() for key in (*others, watched))
    known.forget("acme", "c")
    alone = outcomes()
    for key in others:
        alone.see(key, pb.Utterance())
        alone.see(key, reply())
    assert known.bytes == alone.bytes + 2 * ENTRY_BYTES


async def test_everyone_who_waits_is_woken() -> None:
    known = outcomes()

    async def wait() -> str:
        with known.watch(KEY) as watch:
            assert await watch.wait(5)
            assert watch.outcome is not None
            assert watch.outcome.reply is not None
            return watch.outcome.reply.text

    waiting = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    known.see(Key("acme", "c", "another"), reply("not this"))
    known.see(KEY, reply("this"))
    assert await asyncio.gather(*waiting) == ["this"] * 3


async def test_waiting_ends() -> None:
    with outcomes().watch(KEY) as watch:
        assert not await watch.wait(0.01)
        assert not await watch.wait(-1)


# --- pieces of a reply ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deltas", "kept"),
    [
        ([delta(0), delta(1), delta(2)], 3),
        ([delta(0), delta(1), delta(0), delta(1), delta(2)], 3),  # the same attempt read again
        ([delta(0), delta(1), delta(0, "other", "two"), delta(1, "words", "two"), delta(2)], 2),  # another attempt
        ([delta(0), delta(2), delta(1)], 1),  # a gap
        ([delta(3), delta(4)], 0),  # the beginning was missed
    ],
)
def test_only_one_attempt_without_gaps_is_told(deltas: list[pb.ReplyDelta], kept: int) -> None:
    known = outcomes()
    with known.watch(KEY):
        for one in deltas:
            known.see(KEY, one)
        assert told(story(), known) == ["delta"] * kept


def test_pieces_that_nobody_waits_for_are_not_kept() -> None:
    known = outcomes()
    known.see(KEY, delta(0))
    assert known.get(KEY) is None


# --- the story -----------------------------------------------------------------------------------------------------


def test_everything_is_told_once_and_in_order() -> None:
    known, narration = outcomes(), story(wait_for_trust=True)
    with known.watch(KEY):
        assert told(narration, known) == []
        known.see(KEY, delta(0))
        known.see(KEY, pb.Decision())
        assert told(narration, known) == ["decision", "delta"]
        known.see(KEY, delta(1))
        assert told(narration, known) == ["delta"]
        known.see(KEY, delta(2))
        known.see(KEY, reply())
        known.see(KEY, pb.TrustScore(reward=0.5))
        assert told(narration, known) == ["delta", "reply", "trust"]
        known.see(KEY, pb.TrustScore(reward=0.7))
        assert told(narration, known) == []
        assert narration.patience_s(0.0) is None


def test_a_call_that_comes_after_the_reply_gets_no_pieces() -> None:
    known = outcomes()
    with known.watch(KEY):
        known.see(KEY, pb.Decision())
        before = known.bytes
        known.see(KEY, delta(0, "hel"))
        known.see(KEY, delta(1, "lo"))
        assert known.bytes > before
        known.see(KEY, reply())
    assert known.bytes == sum(slot.bytes for slot in known._slots.values()) == before + reply().ByteSize() + 1
    assert told(story(), known) == ["decision", "reply"]


def test_pieces_that_are_read_just_after_their_reply_are_still_told_before_it() -> None:
    known = outcomes()
    with known.watch(KEY):
        known.see(KEY, reply("hello"))  # one fetch brings the records of several topics, in any order of topics
        known.see(KEY, delta(0, "hel"))
        known.see(KEY, delta(1, "lo"))
        assert told(story(), known) == ["delta", "delta", "reply"]


def test_patience_without_a_reply_ends_when_it_was_promised() -> None:
    narration = story(started=100.0)
    assert narration.patience_s(110.0) == 20.0
    remaining = narration.patience_s(131.0)
    assert remaining is not None
    assert remaining <= 0, "time is up, but the story is not told"


def test_the_trust_score_is_waited_for_only_when_asked_for_and_not_for_ever() -> None:
    known = outcomes()
    known.see(KEY, pb.Decision())
    known.see(KEY, reply())
    patient, hasty = story(wait_for_trust=True), story()
    for narration in (patient, hasty):
        told(narration, known, now=5.0)
    assert hasty.patience_s(5.0) is None
    assert patient.patience_s(6.0) == 9.0
    assert patient.patience_s(16.0) is None, "a missing score is no error"


def test_an_escalation_that_trails_its_reply_is_waited_for_a_moment() -> None:
    known, narration = outcomes(), story()
    known.see(KEY, reply(source=CRISIS))
    assert told(narration, known, now=1.0) == ["reply"]
    assert narration.patience_s(1.0) == SETTLE_S
    known.see(KEY, pb.Escalation())
    assert told(narration, known, now=1.1) == ["escalation"]
    assert narration.patience_s(1.1) is None


def test_a_decision_that_trails_its_reply_is_waited_for_a_moment() -> None:
    known, narration = outcomes(), story()
    known.see(KEY, reply())
    assert told(narration, known, now=1.0) == ["reply"]
    assert narration.patience_s(1.0 + SETTLE_S / 2) == pytest.approx(SETTLE_S / 2)
    assert narration.patience_s(1.0 + 2 * SETTLE_S) is None


def test_a_rejection_ends_the_story() -> None:
    known, narration = outcomes(), story(wait_for_trust=True)
    known.see(KEY, gw.Rejected(stage="strategist", reason="invalid_event"))
    assert told(narration, known) == ["rejected"]
    assert narration.patience_s(0.0) is None
