"""What is known of a conversation, and how an event changes it. Pure.

A state is a `pb.Conversation`. It is changed by decisions and replies only, and both are durable before they count, so
a state never holds more than Kafka does. Either may come twice, in any order, or again years later.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.contracts.v1 import events_pb2 as pb
from multimood.history import history_vector

ELLIPSIS: Final = " … "


def history_of(state: pb.Conversation | None) -> NDArray[np.float32]:
    """What the fusion model is told of the turns before the one at hand: float32 [20]."""
    if state is None or not state.steps:
        return history_vector({}, "", 0, previous=False)
    emotion = {item.label: item.p for item in state.emotion}
    return history_vector(emotion, state.strategy, state.steps, previous=True)


def has_turn(state: pb.Conversation | None, utterance_id: str, role: pb.Role) -> bool:
    """Whether a turn of this utterance is remembered."""
    return state is not None and any(turn.utterance_id == utterance_id and turn.role == role for turn in state.turns)


def dialogue_with(state: pb.Conversation | None, turn: pb.Turn, most: int) -> list[pb.Turn]:
    """The last `most` turns, the person's present one last; an answer to it that was already given is left out."""
    before = [] if state is None else [old for old in state.turns if old.utterance_id != turn.utterance_id]
    return [*before, turn][-most:]


def continues(state: pb.Conversation | None, decision: pb.Decision) -> bool:
    """Whether a decision that is not in the state came after it.

    An old one, whose turn has left the remembered ones, must not come in again at the end: its step is lower. If the
    conversation was forgotten and began anew, steps say nothing, but then nothing it remembers was said before it.
    """
    if state is None:
        return True
    if decision.step < state.steps:
        return False
    known = {turn.utterance_id for turn in state.turns}
    return len(decision.dialogue) == 1 or any(turn.utterance_id in known for turn in decision.dialogue[:-1])


def after_decision(state: pb.Conversation | None, decision: pb.Decision, most: int) -> pb.Conversation | None:
    """The state once this decision is durable; None when it knows of it already."""
    utterance_id = decision.context.utterance_id
    if has_turn(state, utterance_id, pb.ROLE_USER) or not decision.dialogue:
        return None
    # Of a conversation that is not known the decision itself tells what was said before.
    turns = list(decision.dialogue[:-1] if state is None else state.turns)
    # A reply may have come first: the sentinel does not wait for us.
    place = next((number for number, turn in enumerate(turns) if turn.utterance_id == utterance_id), len(turns))
    turns.insert(place, decision.dialogue[-1])
    return pb.Conversation(
        context=decision.context,
        turns=turns[-most:],
        steps=max(decision.step + 1, 0 if state is None else state.steps),
        emotion=decision.user_emotion,
        strategy=decision.chosen,
        revision=_revision(state, decision),
    )


def after_reply(state: pb.Conversation | None, reply: pb.Reply, most: int, chars: int) -> pb.Conversation | None:
    """The state once this reply is durable; None when it knows of it already.

    The reply stands after what it answers, whatever was said since; before its utterance has come, at the end.
    """
    utterance_id = reply.context.utterance_id
    if has_turn(state, utterance_id, pb.ROLE_SYSTEM):
        return None
    answer = pb.Turn(
        role=pb.ROLE_SYSTEM, text=shortened(reply.text, chars), utterance_id=utterance_id, label=reply.strategy
    )
    changed = pb.Conversation(context=reply.context)
    if state is not None:
        changed.CopyFrom(state)
    turns = list(changed.turns)
    place = next((number + 1 for number, turn in enumerate(turns) if turn.utterance_id == utterance_id), len(turns))
    turns.insert(place, answer)
    del changed.turns[:]
    changed.turns.extend(turns[-most:])
    changed.revision = _revision(state, reply)
    return changed


def shortened(text: str, most: int) -> str:
    """At most `most` characters: of a longer text the beginning and, twice as much, the end, which is what is meant."""
    if len(text) <= most:
        return text
    room = most - len(ELLIPSIS)
    head = room // 3
    return f"{text[:head]}{ELLIPSIS}{text[len(text) - (room - head) :]}"


def _revision(state: pb.Conversation | None, cause: pb.Decision | pb.Reply) -> int:
    """Above the state's own, and not below that of a state which was forgotten: the time of its cause, if later."""
    made_at_us = cause.hops[-1].produced_at_us if cause.hops else 0
    return max(made_at_us, 1 if state is None else state.revision + 1)
