"""Escalations among the real services in virtual time: said again, and to others, until a human takes over."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from strategist_world import Fusion
from topology import Topology, reviving
from topology_services import Embedder, Writer, joiner, responder, said, sentinel, strategist, text_encoder
from virtual_time import virtually

from multimood import topics
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety import VettedReplies

pytestmark = pytest.mark.property

IMMINENT = "I am going to kill myself tonight"
ELEVATED = "I can't go on like this"
LATE_S = 3.5
"""A notice may be so late: the pause between two looks, and the quiet after partitions were read back."""
TEXTS = VettedReplies.load()


def system() -> Topology:
    return Topology(text_encoder(Embedder()), sentinel(), joiner(), strategist(Fusion()), responder(Writer()))


def escalations(top: Topology) -> list[pb.Escalation]:
    return top.messages(topics.ESCALATION)


def notices(top: Topology) -> list[tuple[int, str]]:
    return [(one.notice, one.notify) for one in escalations(top)]


def acknowledge(top: Topology, number: int = 0) -> None:
    one = escalations(top)[number]
    taken = pb.Acknowledgement(
        context=one.context, escalation_id=one.escalation_id, by="someone", acknowledged_at_us=now_us()
    )
    top.publish(topics.ACKNOWLEDGEMENT, taken)


def replies(top: Topology) -> dict[str, pb.Reply]:
    return {reply.context.utterance_id: reply for reply in top.messages(topics.REPLY)}


def overrides(top: Topology) -> dict[str, pb.Override]:
    return {one.context.utterance_id: one.override for one in top.messages(topics.DECISION)}


@virtually
async def test_nobody_acknowledges_and_others_are_told_in_time() -> None:
    async with system() as top:
        begin_us = now_us()
        top.publish(topics.UTTERANCE, said("x0", text=IMMINENT))
        await asyncio.sleep(800)
        expected = [
            (0, "on_call"), (60, "on_call"), (120, "on_call"),
            (180, "supervisor"), (240, "supervisor"), (300, "supervisor"), (360, "supervisor"), (420, "supervisor"),
            (480, "service_lead"), (780, "service_lead"),
        ]  # fmt: skip
        assert notices(top) == list(enumerate(role for _, role in expected))
        for one, (due_s, _) in zip(escalations(top), expected, strict=True):
            assert 0 <= (one.notified_at_us - begin_us) / 1e6 - due_s <= LATE_S
        assert len({one.escalation_id for one in escalations(top)}) == 1
        ids = [dict(record.headers)["ce_id"] for record in top.broker.records(topics.ESCALATION.name)]
        assert len(set(ids)) == len(ids)
        assert top.lag("sentinel") == 0


@virtually
async def test_until_a_human_takes_over_the_conversation_gets_vetted_replies_only() -> None:
    async with system() as top:
        top.publish(topics.UTTERANCE, said("u0"))
        await asyncio.sleep(5)
        top.publish(topics.UTTERANCE, said("x0", text=ELEVATED))
        await asyncio.sleep(5)
        top.publish(topics.UTTERANCE, said("u1", text="it is raining"), said("v0", "other", "it is raining"))
        await asyncio.sleep(5)
        top.publish(topics.UTTERANCE, said("x1", text=ELEVATED))
        await asyncio.sleep(5)
        acknowledge(top)
        await asyncio.sleep(5)
        top.publish(topics.UTTERANCE, said("u2", text="someone called me"))
        await asyncio.sleep(3600)
        found = replies(top)
        assert {name for name, one in found.items() if one.source == pb.REPLY_SOURCE_GENERATED} == {"u0", "v0", "u2"}
        assert found["x0"].text == TEXTS.reply("elevated").text
        first, second, *_ = TEXTS.all("escalated")
        assert (found["u1"].text, found["x1"].text) == (first.text, second.text), "not the same words again"
        assert (found["u1"].source, found["u1"].reason) == (pb.REPLY_SOURCE_VETTED_FALLBACK, "escalated")
        assert found["x1"].source == pb.REPLY_SOURCE_VETTED_CRISIS
        assert overrides(top) == {
            "u0": pb.OVERRIDE_NONE, "x0": pb.OVERRIDE_CRISIS, "u1": pb.OVERRIDE_ESCALATED, "v0": pb.OVERRIDE_NONE,
            "x1": pb.OVERRIDE_CRISIS, "u2": pb.OVERRIDE_NONE,
        }  # fmt: skip
        assert [(one.context.utterance_id, one.notice) for one in escalations(top)] == [("x0", 0), ("x1", 0)]
        assert len({one.escalation_id for one in escalations(top)}) == 1, "a further crisis joins the open one"


@virtually
async def test_a_graver_crisis_raises_what_is_open_and_gets_its_own_words() -> None:
    async with system() as top:
        top.publish(topics.UTTERANCE, said("x0", text=ELEVATED))
        await asyncio.sleep(100)
        top.publish(topics.UTTERANCE, said("x1", text=IMMINENT))
        await asyncio.sleep(100)
        first, second, notice = escalations(top)
        assert second.escalation_id == notice.escalation_id == first.escalation_id
        assert (notice.level, notice.notice, notice.context.utterance_id) == (pb.RISK_LEVEL_IMMINENT, 1, "x0")
        assert replies(top)["x1"].text == TEXTS.reply("imminent").text


@virtually
async def test_a_crisis_after_a_human_took_over_is_another_escalation() -> None:
    async with system() as top:
        for number in range(2):
            top.publish(topics.UTTERANCE, said(f"x{number}", text=IMMINENT))
            await asyncio.sleep(10)
            acknowledge(top, number)
            await asyncio.sleep(3600)
        assert [one.notice for one in escalations(top)] == [0, 0]
        assert len({one.escalation_id for one in escalations(top)}) == 2
        assert [replies(top)[name].text for name in ("x0", "x1")] == [one.text for one in TEXTS.all("imminent")[:2]]


@virtually
async def test_a_sentinel_that_was_away_tells_who_is_due_by_then() -> None:
    async with system() as top:
        top.publish(topics.UTTERANCE, said("x0", text=IMMINENT))
        await asyncio.sleep(30)
        await top.kill("sentinel")
        await asyncio.sleep(600)
        top.start("sentinel")
        await asyncio.sleep(10)
        assert notices(top) == [(0, "on_call"), (1, "service_lead")]


@virtually
async def test_what_was_acknowledged_while_nobody_listened_stays_closed() -> None:
    async with system() as top:
        top.publish(topics.UTTERANCE, said("x0", text=IMMINENT))
        await asyncio.sleep(30)
        await top.kill("sentinel")
        acknowledge(top)
        await asyncio.sleep(600)
        top.start("sentinel")
        top.publish(topics.UTTERANCE, said("u1"))
        await asyncio.sleep(600)
        assert notices(top) == [(0, "on_call")]
        assert overrides(top)["u1"] == pb.OVERRIDE_NONE


async def converse(top: Topology) -> None:
    """A crisis, two notices, words of the same conversation meanwhile, a human, and words after that."""
    top.publish(topics.UTTERANCE, said("x0", text=IMMINENT))
    await asyncio.sleep(70)
    top.publish(topics.UTTERANCE, said("u1"), said("v0", "other"))
    await asyncio.sleep(70)
    acknowledge(top)
    await asyncio.sleep(5)
    top.publish(topics.UTTERANCE, said("u2"))
    await asyncio.sleep(300)


def check(top: Topology, *, again: bool = False) -> None:
    """The same whatever happened. `again`: a record may be there twice, under the same id."""
    found = Counter(dict(record.headers)["ce_id"] for record in top.broker.records(topics.ESCALATION.name))
    assert len(found) == 3
    assert again or set(found.values()) == {1}
    assert {one.notice for one in escalations(top)} == {0, 1, 2}
    assert {one.escalation_id for one in escalations(top)} == {escalations(top)[0].escalation_id}
    assert overrides(top) == {
        "x0": pb.OVERRIDE_CRISIS, "u1": pb.OVERRIDE_ESCALATED, "v0": pb.OVERRIDE_NONE, "u2": pb.OVERRIDE_NONE,
    }  # fmt: skip
    sources = {name: reply.source for name, reply in replies(top).items()}
    assert sources["x0"] == pb.REPLY_SOURCE_VETTED_CRISIS
    assert sources["u1"] == pb.REPLY_SOURCE_VETTED_FALLBACK
    assert sources["u2"] == sources["v0"] == pb.REPLY_SOURCE_GENERATED
    assert top.lag("sentinel") == 0


async def moments() -> int:
    async with system() as top:
        await converse(top)
        check(top)
        return top.members["sentinel"][0].moments


def each_moment(scenario: Callable[[int], None]) -> None:
    count = virtually(moments)()
    assert count >= 2 * 8, "three escalations, a reply, four screenings"
    for at in range(1, count + 1):
        try:
            scenario(at)
        except BaseException as error:
            error.add_note(f"at moment {at} of {count}")
            raise


def test_whenever_the_sentinel_dies_every_notice_is_said_once() -> None:
    @virtually
    async def dies(at: int) -> None:
        async with system() as top, reviving(top, "sentinel"):
            member = top.members["sentinel"][0]

            def die(moment: int, _is_durable: bool) -> None:
                if moment == at:
                    member.dead.set()

            member.on_moment = die
            await converse(top)
            assert top.members["sentinel"][0] is not member, "it did not die"
            check(top)

    each_moment(dies)


def test_whenever_partitions_move_a_notice_has_one_id() -> None:
    @virtually
    async def moves(at: int) -> None:
        async with system() as top:
            first, second = top.members["sentinel"][0], top.start("sentinel")
            moments = 0

            def move(_moment: int, _is_durable: bool) -> None:
                nonlocal moments
                moments += 1
                if moments == at:
                    top.members["sentinel"].reverse()
                    top.rebalance("sentinel")

            first.on_moment = second.on_moment = move
            await converse(top)
            assert moments >= at, "nothing moved"
            check(top, again=True)

    each_moment(moves)


@virtually
async def test_two_sentinels_say_each_notice_once() -> None:
    async with system() as top:
        top.start("sentinel")
        top.publish(topics.UTTERANCE, *(said(f"x{number}", f"c{number}", IMMINENT) for number in range(6)))
        await asyncio.sleep(130)
        assert Counter(one.context.utterance_id for one in escalations(top)) == {f"x{n}": 3 for n in range(6)}
