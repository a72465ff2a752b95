"""Conversations through the real services, one of them dying or moving at every instant that makes a difference."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection

import pytest
from strategist_world import Fusion
from topology import Topology, reviving
from topology_services import Embedder, Writer, joiner, responder, said, sentinel, strategist, text_encoder
from virtual_time import virtually

from multimood import topics
from multimood.contracts.v1 import events_pb2 as pb
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


def check(top: Topology, again: Collection[Topic] = ()) -> None:
    """One outcome for each, whatever happened. In `again` a record may be twice, under the same id."""
    for topic in set().union(*WRITES.values()):
        found = names(top.messages(topic))
        assert found.keys() == ONCE.keys() if topic in again else found == ONCE, f"{topic.name}: {found}"
        assert len({dict(record.headers)["ce_id"] for record in top.broker.records(topic.name)}) == len(ONCE)
        assert top.letters(topic) == []
    assert names(top.messages(topics.ESCALATION)).keys() == {"x0"}
    replies = {reply.context.utterance_id: reply for reply in reversed(top.messages(topics.REPLY))}
    assert {name: reply.source for name, reply in replies.items()} == {
        name: pb.REPLY_SOURCE_VETTED_CRISIS if name == "x0" else pb.REPLY_SOURCE_GENERATED for name in UTTERANCES
    }
    assert not any(delta.context.utterance_id == "x0" for delta in top.messages(topics.REPLY_DELTA))
    (*_, state) = [state for state in top.messages(topics.CONVERSATION) if state.context.conversation_id == "c"]
    assert [(turn.role, turn.utterance_id) for turn in state.turns if turn.role == pb.ROLE_USER] == [
        (pb.ROLE_USER, "u0"), (pb.ROLE_USER, "u1"),
    ]  # fmt: skip
    assert Counter(turn.utterance_id for turn in state.turns if turn.role == pb.ROLE_SYSTEM) == {"u0": 1, "u1": 1}
    assert {name: top.lag(name) for name in SERVICES} == dict.fromkeys(SERVICES, 0)


async def moments(service: str) -> int:
    async with system() as top:
        await converse(top)
        check(top)
        return top.members[service][0].moments


@pytest.mark.parametrize("service", SERVICES)
def test_whenever_a_worker_dies_everyone_is_answered_once(service: str) -> None:
    @virtually
    async def dies(at: int) -> None:
        async with system() as top, reviving(top, service):
            member = top.members[service][0]
            member.on_moment = lambda moment: member.dead.set() if moment == at else None
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
            moved = 0

            def move(_moment: int) -> None:
                nonlocal moved
                moved += 1
                if moved == at:
                    top.members[service].reverse()
                    top.rebalance(service)

            first.on_moment = second.on_moment = move
            await converse(top)
            assert moved >= at, "nothing moved"
            check(top, again=WRITES[service])

    each_moment(service, moves)


def each_moment(service: str, scenario: Callable[[int], None]) -> None:
    count = virtually(moments)(service)
    assert count >= 2 * len(UTTERANCES)
    for at in range(1, count + 1):
        try:
            scenario(at)
        except BaseException as error:
            error.add_note(f"at moment {at} of {count} of {service}")
            raise
