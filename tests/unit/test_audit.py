"""The consistency checker's verdicts, from records made by hand."""

import json
from typing import Any

import pytest
from bus_fakes import CANARY, context, record
from reward_events import PSEUDONYMS
from rich.console import Console

from multimood import topics
from multimood.audit.reading import _Reading
from multimood.audit.summary import Summary
from multimood.audit.verdict import Ledger, Verdict
from multimood.bus.envelope import event_id
from multimood.bus.letters import DROPPED, RECEIPT, dead_letter_headers
from multimood.cli.check import show
from multimood.contracts.v1 import events_pb2 as pb
from multimood.topics import Topic

pytestmark = pytest.mark.unit

TEXT, AUDIO = pb.MODALITY_TEXT, pb.MODALITY_AUDIO
Said = list[tuple[Topic, Any]]


def said(*, consent: bool = False) -> tuple[Topic, Any]:
    mine = context()
    mine.privacy.learning_consent = consent
    return topics.UTTERANCE, pb.Utterance(context=mine, manifest=[TEXT, AUDIO], text=CANARY)


def screened(level: pb.RiskLevel = pb.RISK_LEVEL_NONE) -> tuple[Topic, Any]:
    return topics.SCREENING, pb.Screening(context=context(), level=level)


def decided(*missing: pb.Modality) -> tuple[Topic, Any]:
    gone = [pb.MissingModality(modality=one, reason=pb.MISSING_REASON_DEADLINE) for one in missing]
    return topics.DECISION, pb.Decision(context=context(), manifest=[TEXT, AUDIO], missing=gone)


def replied(source: pb.ReplySource = pb.REPLY_SOURCE_GENERATED) -> tuple[Topic, Any]:
    return topics.REPLY, pb.Reply(context=context(), text=CANARY, source=source)


VETTED = replied(pb.REPLY_SOURCE_VETTED_CRISIS)
PIECE = topics.REPLY_DELTA, pb.ReplyDelta(context=context(), text=CANARY)
SCORED = topics.TRUST, pb.TrustScore(context=context())
ESCALATED = topics.ESCALATION, pb.Escalation(context=context(), level=pb.RISK_LEVEL_IMMINENT)
CRISIS = [said(), screened(pb.RISK_LEVEL_IMMINENT), ESCALATED, VETTED, decided(), SCORED]


def verdict(records: Said, *, rows: int = 0, settled: bool = True) -> Verdict:
    ledger = Ledger()
    for topic, message in records:
        ledger.see(topic, message, 1_000)
    if rows:
        ledger.see_row("t/c/u", rows)
    ((found, _),) = ledger.verdicts(1_000 if settled else 999)
    return found


def test_a_reply_with_everything_beside_it_is_one_outcome() -> None:
    records = [said(consent=True), screened(), decided(), PIECE, replied(), SCORED]
    assert verdict(records, rows=1) == Verdict("t/c/u", "replied", {})
    assert verdict(records[::-1], rows=1) == verdict(records, rows=1)


def test_a_notice_is_no_second_escalation() -> None:
    notice = topics.ESCALATION, pb.Escalation(context=context(), level=pb.RISK_LEVEL_IMMINENT, notice=1)
    assert verdict([*CRISIS, notice, notice]) == Verdict("t/c/u", "escalated", {})


def test_an_escalation_with_its_vetted_reply_is_one_outcome() -> None:
    assert verdict(CRISIS) == Verdict("t/c/u", "escalated", {})


def test_an_utterance_published_twice_is_one_utterance() -> None:
    assert verdict([said(), *CRISIS]) == Verdict("t/c/u", "escalated", {})


def test_no_outcome_is_lost_however_far_it_came() -> None:
    for records in ([said()], [said(), screened(), decided(), PIECE]):
        assert verdict(records) == Verdict("t/c/u", "none", {"lost": ["no outcome"]})


def test_what_is_young_may_still_be_on_its_way() -> None:
    assert verdict([said()], settled=False).flags == {"pending": ["no outcome"]}
    crisis = [said(), screened(pb.RISK_LEVEL_ELEVATED), ESCALATED]
    assert verdict(crisis, settled=False).flags["pending"] == ["escalated without a reply"]


@pytest.mark.parametrize(
    ("more", "rows", "why"),
    [
        ([replied()], 1, "2 replies"),
        ([VETTED], 1, "2 replies"),
        ([ESCALATED, ESCALATED], 1, "2 escalations"),
        ([], 2, "2 experience rows"),
    ],
)
def test_a_second_outcome_is_a_duplicate(more: Said, rows: int, why: str) -> None:
    assert verdict([said(consent=True), decided(), replied(), SCORED, *more], rows=rows).flags["duplicated"] == [why]


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([said(), screened(pb.RISK_LEVEL_IMMINENT), ESCALATED], "escalated without a reply"),
        ([said(), screened(pb.RISK_LEVEL_IMMINENT), replied(pb.REPLY_SOURCE_VETTED_FALLBACK)], "without escalation"),
        ([said(), screened(pb.RISK_LEVEL_ELEVATED), ESCALATED, replied()], "generated reply"),
        ([*CRISIS, PIECE], "generated reply"),
    ],
)
def test_a_crisis_needs_its_escalation_and_its_vetted_reply_and_nothing_else(records: Said, why: str) -> None:
    assert why in verdict(records).flags["unsafe"][0]


def test_without_consent_there_is_no_row() -> None:
    assert verdict([said(), decided(), replied(), SCORED], rows=1).flags == {"unsafe": ["row without consent"]}


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([decided(AUDIO), replied(), SCORED], ["missing audio"]),
        ([replied(), SCORED], ["no decision"]),
        ([decided(), replied()], ["no trust score"]),
    ],
)
def test_what_an_outcome_lacks_makes_it_partial(records: Said, why: list[str]) -> None:
    found = verdict([said(), *records])
    assert (found.outcome, found.flags) == ("replied", {"partial": why})


def test_with_consent_a_row_is_expected() -> None:
    assert verdict([said(consent=True), decided(), replied(), SCORED]).flags == {"partial": ["no experience row"]}


def test_outcomes_of_utterances_that_are_not_kept_any_more_are_nobodys() -> None:
    ledger = Ledger()
    ledger.see(*replied(), 1_000)
    assert list(ledger.verdicts(1_000)) == []


# --- from records ----------------------------------------------------------------------------------------------------


class Topics:
    """Records by topic, in one partition; stands where the broker's reader stands."""

    def __init__(self) -> None:
        self.records: dict[str, list[Any]] = {}

    def write(self, topic: Topic, message: Any) -> Any:
        return self._append(topic.name, record(topic, message))

    def garbage(self, topic: Topic) -> Any:
        broken = record(topic, pb.Utterance(context=context()))
        broken.value, broken.headers = b"\xff\xff" + CANARY.encode(), ()
        return self._append(topic.name, broken)

    def letter(self, origin: Any, service: str) -> Any:
        fault = {
            "service": service, "topic": origin.topic, "partition": "0", "offset": str(origin.offset), "time_us": "1",
        }  # fmt: skip
        dead = record(topics.UTTERANCE, pb.Utterance(context=context()))
        dead.value, dead.key = origin.value, origin.key
        dead.headers = tuple(dead_letter_headers(origin.headers, fault))
        return self._append(f"{origin.topic}.dlq", dead)

    def receipt(self, letter: Any, name: str = RECEIPT) -> None:
        done = record(topics.UTTERANCE, pb.Utterance(context=context()))
        done.value, done.headers = b"", ((name, f"{letter.topic}/0/{letter.offset}".encode()),)
        self._append(letter.topic, done)

    def _append(self, name: str, one: Any) -> Any:
        lying = self.records.setdefault(name, [])
        one.topic, one.offset = name, len(lying)
        lying.append(one)
        return one

    async def partitions(self, wanted: list[Topic]) -> dict[str, int]:
        return {topic.name: 1 for topic in wanted}

    async def read(self, topic: Topic, partition: int) -> Any:
        for one in self.records.get(topic.name, ()):
            yield one


async def summary(lying: Topics, *, rows: dict[str, int] | None = None, confirmed: set[str] | None = None) -> Summary:
    logged = {PSEUDONYMS.row(name): count for name, count in (rows or {}).items()}
    return await _Reading(lying, logged, PSEUDONYMS, 1_000, confirmed or set()).run()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("topic", "service", "outcome"),
    [
        (topics.UTTERANCE, "joiner", "rejected"),
        (topics.FEATURES, "strategist", "rejected"),
        (topics.DECISION, "responder", "rejected"),
        (topics.UTTERANCE, "text_encoder", "lost"),
        (topics.EMBEDDING_TEXT, "joiner", "lost"),
    ],
)
async def test_a_dead_letter_ends_an_utterance_only_where_nothing_can_go_around_it(
    topic: Topic, service: str, outcome: str
) -> None:
    lying = Topics()
    utterance = lying.write(*said())
    origin = utterance if topic is topics.UTTERANCE else lying.write(topic, topic.message(context=context()))
    lying.letter(origin, service)
    found = (await summary(lying)).as_json()
    assert (found["accepted"], found[outcome]) == (1, 1)


async def test_a_letter_that_was_replayed_is_no_outcome_any_more() -> None:
    lying = Topics()
    lying.receipt(lying.letter(lying.write(*said()), "joiner"))
    assert (await summary(lying)).flags == {"lost": 1}
    lying.write(*decided())
    lying.write(*replied())
    assert not (await summary(lying)).is_whole
    lying.write(*SCORED)
    found = await summary(lying)
    assert (found.as_json()["replied"], found.is_whole) == (1, True)


async def test_a_letter_that_was_dropped_stays_the_outcome_unless_a_replay_was_answered() -> None:
    lying = Topics()
    lying.receipt(lying.letter(lying.write(*said()), "joiner"), DROPPED)
    found = await summary(lying)
    assert (found.outcomes, found.is_sound) == ({"rejected": 1}, True)
    lying.write(*replied())
    found = await summary(lying)
    assert (found.outcomes, found.is_sound) == ({"replied": 1}, True)


async def test_answered_and_given_up_are_two_outcomes() -> None:
    lying = Topics()
    lying.letter(lying.write(*said()), "joiner")
    lying.write(*replied())
    assert (await summary(lying)).reasons["duplicated: answered and rejected"] == 1


async def test_bytes_that_nobody_can_read_are_found_again_as_a_dead_letter_or_are_lost() -> None:
    lying = Topics()
    first, _ = lying.garbage(topics.UTTERANCE), lying.garbage(topics.UTTERANCE)
    lying.letter(first, "joiner")
    found = await summary(lying)
    assert (found.as_json()["dead_lettered"], found.flags["lost"]) == (1, 1)
    assert found.offenders["lost"][0][0] == "multimood.utterance.v1/0/1"


async def test_what_was_confirmed_and_is_on_no_topic_is_lost() -> None:
    lying = Topics()
    for topic, message in CRISIS:
        lying.write(topic, message)
    assert (await summary(lying, confirmed={"u"})).is_sound
    found = await summary(lying, confirmed={"u", "never-seen"})
    assert (found.accepted, found.flags["lost"], found.is_sound) == (2, 1, False)
    assert found.offenders["lost"] == [("never-seen", ["confirmed, and not on the utterance topic"])]


async def test_a_second_record_that_readers_pass_over_is_counted() -> None:
    lying = Topics()
    for topic, message in [*CRISIS, decided()]:
        lying.write(topic, message)
    found = await summary(lying)
    assert (found.is_sound, dict(found.repeated)) == (True, {topics.DECISION.name: 1})


async def test_the_log_is_asked_by_the_whole_name() -> None:
    lying = Topics()
    for topic, message in (said(consent=True), decided(), replied(), SCORED):
        lying.write(topic, message)
    assert (await summary(lying, rows={"t/c/u": 1})).flags == {}
    first_version = {event_id("t/c/u", topics.DECISION): 1}
    assert (await _Reading(lying, first_version, PSEUDONYMS, 1_000, set()).run()).flags == {}  # type: ignore[arg-type]
    assert (await summary(lying, rows={"other/c/u": 1})).reasons == {"partial: no experience row": 1}


async def test_the_table_names_offenders_and_never_what_was_said() -> None:
    lying = Topics()
    for topic, message in (said(consent=True), decided(), replied(), replied()):
        lying.write(topic, message)
    lying.garbage(topics.UTTERANCE)
    found = await summary(lying)
    console = Console(record=True, width=120)
    show(found, console)
    text = console.export_text()
    assert "t/c/u: 2 replies" in text
    assert "multimood.utterance.v1/0/1: no outcome" in text
    assert CANARY not in text + json.dumps(found.as_json())
