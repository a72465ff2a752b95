"""Conversations through the real services, one of them dying or moving at every instant that makes a difference."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection

import pytest
from strategist_world import Fusion
from topology import SEND_S, Topology, reviving
from topology_services import Embedder, Writer, joiner, responder, said, sentinel, strategist, text_encoder
from virtual_time import virtually

from multimood import topics
from multimood.bus.letters import Letter, replay_of
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnsendableError
from multimood.topics import Topic

pytestmark = pytest.mark.property

WRITES = {
    "text_encoder": {topics.EMBEDDING_TEXT},
    "sentinel": {topics.SCREENING, topics.REPLY},
    "joiner": {topics.FEATURES},
    "strategist": {topics.DECISION},
    "responder": {topics.REPLY},
}
SERVICES = tuple(WRITES)
EVERYTHING = set().union(*WRITES.values())
UTTERANCES = {
    "u0": said("u0"),
    "u1": said("u1", text="then it stopped"),
    "v0": said("v0", "other", "what a day"),
    "x0": said("x0", "crisis", "I want to kill myself"),
}
ONCE = dict.fromkeys(UTTERANCES, 1)


def system() -> Topology:
    return Topology(text_encoder(Embedder()), sentinel(), joiner(), strategist(Fusion()), responder(Writer()))


async def converse(top: Topology) -> None:
    """Two turns of one conversation, one of another, and a crisis; then time for everyone to end."""
    top.publish(topics.UTTERANCE, UTTERANCES["u0"], UTTERANCES["v0"], UTTERANCES["x0"])
    await asyncio.sleep(0.1)
    top.publish(topics.UTTERANCE, UTTERANCES["u1"])
    await asyncio.sleep(90)


def names(messages: list[pb.Reply]) -> Counter[str]:
    return Counter(message.context.utterance_id for message in messages)


def check(top: Topology, again: Collection[Topic] = (), *, replayed: bool = False) -> None:
    """One outcome for each, whatever happened. In `again` a record may be twice, under the same id.

    `replayed`: what was replayed came later than the rest, so a conversation's order may differ, and a reply be vetted.
    """
    for topic in EVERYTHING:
        found = names(top.messages(topic))
        assert found.keys() == ONCE.keys() if topic in again else found == ONCE, f"{topic.name}: {found}"
        assert len({dict(record.headers)["ce_id"] for record in top.broker.records(topic.name)}) == len(ONCE)
    assert names(top.messages(topics.ESCALATION)).keys() == {"x0"}
    crisis = [
        next(record.timestamp for record in top.broker.records(topic.name) if record.key == b"t/crisis")
        for topic in (topics.ESCALATION, topics.REPLY, topics.SCREENING)
    ]
    assert replayed or crisis == sorted(crisis), "nobody may go on before the vetted reply is there"
    replies = {reply.context.utterance_id: reply for reply in reversed(top.messages(topics.REPLY))}
    fallback = {pb.REPLY_SOURCE_VETTED_FALLBACK} if replayed else set()
    assert replies.pop("x0").source in {pb.REPLY_SOURCE_VETTED_CRISIS} | fallback
    assert {reply.source for reply in replies.values()} <= {pb.REPLY_SOURCE_GENERATED} | fallback
    assert not any(delta.context.utterance_id == "x0" for delta in top.messages(topics.REPLY_DELTA))
    (*_, state) = [state for state in top.messages(topics.CONVERSATION) if state.context.conversation_id == "c"]
    turns = [turn.utterance_id for turn in state.turns if turn.role == pb.ROLE_USER]
    assert (sorted(turns) if replayed else turns) == ["u0", "u1"]
    assert Counter(turn.utterance_id for turn in state.turns if turn.role == pb.ROLE_SYSTEM) == {"u0": 1, "u1": 1}
    assert {name: top.lag(name) for name in SERVICES} == dict.fromkeys(SERVICES, 0)


async def moments(service: str) -> int:
    async with system() as top:
        await converse(top)
        check(top)
        return top.members[service][0].moments


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("later_s", [0.0, SEND_S / 4])
def test_whenever_a_worker_dies_everyone_is_answered_once(service: str, later_s: float) -> None:
    """At once, or a little later, when it has read on and committed that."""

    @virtually
    async def dies(at: int) -> None:
        async with system() as top, reviving(top, service):
            member = top.members[service][0]

            def commit_and_die() -> None:
                member.commit()
                member.dead.set()

            def die(moment: int, _is_durable: bool) -> None:
                if moment == at and later_s:
                    asyncio.get_running_loop().call_later(later_s, commit_and_die)
                elif moment == at:
                    member.dead.set()

            member.on_moment = die
            await converse(top)
            assert top.members[service][0] is not member, "it did not die"
            check(top)

    each_moment(service, dies)


@pytest.mark.parametrize("service", SERVICES)
def test_whenever_partitions_move_everyone_has_one_answer(service: str) -> None:
    @virtually
    async def moves(at: int) -> None:
        async with system() as top:
            first, second = top.members[service][0], top.start(service)
            moments = 0

            def move(_moment: int, _is_durable: bool) -> None:
                nonlocal moments
                moments += 1
                if moments == at:
                    top.members[service].reverse()
                    top.rebalance(service)

            first.on_moment = second.on_moment = move
            await converse(top)
            assert moments >= at, "nothing moved"
            check(top, again=WRITES[service])

    each_moment(service, moves)


@pytest.mark.parametrize("service", SERVICES)
def test_whatever_record_is_refused_its_causes_are_dead_letters_and_a_replay_makes_good(service: str) -> None:
    @virtually
    async def refuses(at: int) -> None:
        async with system() as top:
            refused = False

            def refuse(moment: int, is_durable: bool) -> None:
                nonlocal refused
                if moment >= at and not is_durable and not refused:
                    refused = True
                    raise UnsendableError("never")

            top.members[service][0].on_moment = refuse
            await converse(top)
            for topic in topics.TOPICS:
                for letter in top.letters(topic):
                    back = replay_of(Letter.of(letter), letter)
                    top.broker.append(back.topic, back.key, back.value, back.headers)
            await asyncio.sleep(90)
            check(top, EVERYTHING, replayed=True)

    each_moment(service, refuses, step=2)


def each_moment(service: str, scenario: Callable[[int], None], step: int = 1) -> None:
    count = virtually(moments)(service)
    assert count >= 2 * len(UTTERANCES)
    for at in range(1, count + 1, step):
        try:
            scenario(at)
        except BaseException as error:
            error.add_note(f"at moment {at} of {count} of {service}")
            raise
