"""What is open follows from the records alone, in whatever order they are read and how often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety import CrisisPolicy, Handover, Handovers
from multimood.safety.handover import LAPSES_US, noticed, raised
from multimood.safety.risk import outranks

pytestmark = pytest.mark.property

POLICY = CrisisPolicy.load()
T0 = 1_700_000_000_000_000
S = 1_000_000
ELEVATED, IMMINENT = pb.RISK_LEVEL_ELEVATED, pb.RISK_LEVEL_IMMINENT


def said(utterance: str = "u0", tenant: str = "t") -> pb.Context:
    return pb.Context(tenant=tenant, conversation_id="c", utterance_id=utterance)


def crisis(
    utterance: str = "u0",
    level: pb.RiskLevel = ELEVATED,
    at_s: int = 0,
    open_: Handover | None = None,
    tenant: str = "t",
) -> pb.Escalation:
    return raised(
        said(utterance, tenant), level=level, rules=("r",), version="v", identity=f"e-{utterance}", policy=POLICY,
        now_us=T0 + at_s * S, open_=open_,
    )  # fmt: skip


def taken(at_s: float, identity: str = "e-u0", tenant: str = "t") -> pb.Acknowledgement:
    at_us = T0 + round(at_s * S)
    return pb.Acknowledgement(context=said(tenant=tenant), escalation_id=identity, by="me", acknowledged_at_us=at_us)


def of(*records: pb.Escalation | pb.Acknowledgement) -> Handovers:
    found = Handovers()
    for record in records:
        found.see(record)
    return found


def one(handovers: Handovers) -> Handover:
    (found,) = handovers.open(T0)
    return found


RECORD = st.one_of(
    st.builds(crisis, st.sampled_from(["u0", "u1"]), st.sampled_from([ELEVATED, IMMINENT]), st.integers(0, 9)),
    st.builds(taken, st.integers(0, 9), st.sampled_from(["e-u0", "e-u1"])),
)


@given(st.lists(RECORD, max_size=8), st.randoms())
def test_order_and_repetition_do_not_change_what_is_open(records: list[pb.Escalation], chance: object) -> None:
    again = [*records, *records[: len(records) // 2]]
    chance.shuffle(again)  # type: ignore[attr-defined]
    expected = {
        crisis.escalation_id
        for crisis in records
        if isinstance(crisis, pb.Escalation)
        and not any(
            isinstance(other, pb.Acknowledgement)
            and other.escalation_id == crisis.escalation_id
            and other.acknowledged_at_us >= crisis.raised_at_us
            for other in records
        )
    }
    assert {found.id for found in of(*again).open(T0)} == expected


def test_a_further_crisis_joins_the_open_one_and_raises_it() -> None:
    first = crisis()
    known = one(of(first))
    second = crisis("u1", IMMINENT, 100, known)
    assert (second.escalation_id, second.notice, second.context.utterance_id) == ("e-u0", 0, "u1")
    for records in ((first, second), (second, first)):
        found = one(of(*records))
        assert (found.level, found.context.utterance_id, found.level_by) == (IMMINENT, "u0", "u1")
        assert found.due_at_us(POLICY) == T0 + 160 * S, "the steps of the graver level begin when it is reached"


def test_a_milder_crisis_joins_without_starting_the_steps_again() -> None:
    first = crisis(level=IMMINENT)
    second = crisis("u1", ELEVATED, 200, one(of(first)))
    assert second.notify == "supervisor", "who is to be told by then"
    found = one(of(first, second))
    assert (found.level, found.due_at_us(POLICY)) == (IMMINENT, T0 + 240 * S)


def test_notices_count_on_name_who_is_due_and_until_when() -> None:
    handovers = of(crisis(level=IMMINENT))
    told = []
    for _ in range(4):
        known = one(handovers)
        notice = noticed(known, POLICY, known.due_at_us(POLICY))
        told.append((notice.notice, notice.notified_at_us - T0, notice.notify, notice.acknowledge_by_us - T0))
        assert not notice.rules
        handovers.see(notice)
    assert told == [
        (1, 60 * S, "on_call", 180 * S), (2, 120 * S, "on_call", 180 * S),
        (3, 180 * S, "supervisor", 480 * S), (4, 240 * S, "supervisor", 480 * S),
    ]  # fmt: skip


def test_what_was_missed_is_not_made_up_for() -> None:
    known = one(of(crisis(level=IMMINENT)))
    late = noticed(known, POLICY, T0 + 1000 * S)
    assert (late.notice, late.notify, late.acknowledge_by_us) == (1, "service_lead", 0)
    assert one(of(crisis(level=IMMINENT), late)).due_at_us(POLICY) == T0 + 1080 * S


def test_a_notice_alone_is_enough_to_go_on_from() -> None:
    known = one(of(crisis(level=IMMINENT)))
    notice = noticed(known, POLICY, T0 + 60 * S)
    found = one(of(notice))
    assert (found.id, found.level, found.notice, found.due_at_us(POLICY)) == ("e-u0", IMMINENT, 1, T0 + 120 * S)


def test_who_acknowledges_too_early_did_not_know_of_the_last_crisis() -> None:
    first = crisis()
    second = crisis("u1", at_s=50, open_=one(of(first)))
    handovers = of(first, taken(49), second)
    assert one(handovers).id == "e-u0"
    handovers.see(taken(50))
    assert not handovers.open(T0)


def test_nobody_closes_another_tenants() -> None:
    handovers = of(crisis(), crisis(tenant="other"), taken(1, tenant="other"))
    assert one(handovers).context.tenant == "t"


def test_the_gravest_of_a_conversation_counts_and_others_have_none() -> None:
    handovers = of(crisis(), crisis("u1", IMMINENT))
    found = handovers.open_in(said("u9"), T0)
    assert found is not None
    assert found.level == IMMINENT
    assert handovers.open_in(pb.Context(tenant="t", conversation_id="d"), T0) is None
    assert handovers.open_in(said(tenant="other"), T0) is None


def test_it_is_open_as_long_as_its_record_is_kept() -> None:
    handovers = of(crisis())
    assert handovers.open_in(said(), T0 + LAPSES_US - 1)
    assert handovers.open_in(said(), T0 + LAPSES_US) is None
    assert not handovers.open(T0 + LAPSES_US)
    assert not len(handovers)


def test_records_that_are_none_open_nothing() -> None:
    older = crisis()
    older.escalation_id = ""
    calm = crisis()
    calm.level = pb.RISK_LEVEL_LOW
    assert not of(older, calm, pb.Acknowledgement(context=said())).open(T0)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=2), st.integers(0, 2**32 - 1))
def test_no_number_of_a_record_stops_us(times: list[int], notice: int) -> None:
    hostile = crisis()
    hostile.raised_at_us, hostile.notified_at_us = times
    hostile.notice = notice
    handovers = of(hostile)
    known = handovers.open_in(said(), T0)
    crisis("u1", IMMINENT, open_=known)
    for found in handovers.open(T0):
        if found.due_at_us(POLICY) <= T0:
            handovers.see(noticed(found, POLICY, T0))


def test_memory_is_bounded_and_the_longest_known_go_first() -> None:
    handovers = Handovers(most=3)
    for number in range(10):
        handovers.see(crisis(f"u{number}", at_s=number))
        handovers.see(taken(0, f"x{number}"))
    assert [found.id for found in handovers.open(T0)] == ["e-u7", "e-u8", "e-u9"]


@given(st.sampled_from([ELEVATED, IMMINENT]), st.sampled_from([ELEVATED, IMMINENT]))
def test_the_level_never_falls(first: pb.RiskLevel, second: pb.RiskLevel) -> None:
    record = crisis(level=first)
    found = one(of(record, crisis("u1", second, 1, one(of(record)))))
    assert not outranks(first, found.level)
    assert not outranks(second, found.level)
