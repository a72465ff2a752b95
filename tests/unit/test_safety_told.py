"""Which vetted texts a conversation has had: told once each, in order, bounded."""

import pytest

from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety import Told
from multimood.safety.told import LATELY

pytestmark = pytest.mark.unit


def reply(utterance_id: str, vetted_id: str = "en.low@v", conversation: str = "c", tenant: str = "t") -> pb.Reply:
    context = pb.Context(tenant=tenant, conversation_id=conversation, utterance_id=utterance_id)
    return pb.Reply(context=context, vetted_id=vetted_id)


def test_texts_are_told_in_their_order_and_a_record_that_comes_again_changes_nothing() -> None:
    told = Told()
    for one in (reply("u1", "en.low@v"), reply("u2", ""), reply("u3", "en.low.2@v"), reply("u1", "en.low.3@w")):
        told.add(one)
    assert list(told.before(reply("u4").context)) == ["en.low", "en.low.2"]


def test_a_reply_does_not_count_for_its_own_utterance() -> None:
    told = Told()
    told.add(reply("u1"))
    assert list(told.before(reply("u1").context)) == []


def test_conversations_and_tenants_are_apart() -> None:
    told = Told()
    told.add(reply("u1"))
    assert list(told.before(reply("u2", conversation="d").context)) == []
    assert list(told.before(reply("u2", tenant="other").context)) == []


def test_the_memory_is_bounded() -> None:
    told = Told(most=2)
    for conversation in "abc":
        told.add(reply("u", conversation=conversation))
    assert len(told) == 2
    assert list(told.before(reply("v", conversation="a").context)) == []
    for number in range(3 * LATELY):
        told.add(reply(f"u{number}", f"en.low.{number}@v", conversation="c"))
    assert list(told.before(reply("v", conversation="c").context))[-1] == f"en.low.{3 * LATELY - 1}"
    assert len(told.before(reply("v", conversation="c").context)) == LATELY
