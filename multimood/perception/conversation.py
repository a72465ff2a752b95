"""What is known of a conversation, and how an event changes it. Pure.

A state is a `pb.Conversation`. It is changed by decisions and replies only, and both are durable before they count, so
a state never holds more than Kafka does. Either may come twice, in any order, or again years later.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.contracts.v1 import events_pb2 as pb
from multimood.history import TURNS, WIDTH, History, PastTurn, history
from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES

ELLIPSIS: Final = " … "
STRATEGIES: Final = frozenset((*MESC_STRATEGIES, *ESCONV_STRATEGIES))
HALF: Final = 65_504.0
"""The largest number in half precision."""
MOST_STEPS: Final = 2**32 - 1
LAST_REVISION: Final = 2**64 - 1
"""The contract's largest numbers: whoever writes them into a state must not keep us from going on."""
MOST_EARLY: Final = 8
"""Answers that are kept until their utterance comes: a person in a crisis may write on before we have caught up."""


def history_of(state: pb.Conversation | None, width: int = WIDTH) -> History:
    """What the fusion model is told of the turns before the one at hand.

    Labels that this version does not know, numbers that are no probability, and vectors of another encoder's width or
    with a number that is none count as not known.
    """
    if state is None:
        return history((), 0, width)
    spoken, _ = _spoken(state.turns)
    return history([_past(turn) for turn in spoken], state.steps, width)


def packed(vector: NDArray[np.float32]) -> bytes:
    """A vector as a turn keeps it: half precision, little-endian."""
    return np.clip(vector, -HALF, HALF).astype("<f2").tobytes()


def _past(turn: pb.Turn) -> PastTurn:
    own = turn.role == pb.ROLE_USER
    return PastTurn(
        own=own,
        vector=_unpacked(turn.vector),
        felt={item.label: item.p for item in turn.emotion if own and item.label in EMOTIONS and 0 <= item.p <= 1},
        done=turn.label if not own and turn.label in STRATEGIES else "",
    )


def _unpacked(vector: bytes) -> NDArray[np.float32] | None:
    if not vector or len(vector) % 2:
        return None
    found = np.frombuffer(vector, "<f2").astype(np.float32)
    return found if np.isfinite(found).all() else None


def has_turn(state: pb.Conversation | None, utterance_id: str, role: pb.Role) -> bool:
    """Whether a turn of this utterance is remembered."""
    return state is not None and any(turn.utterance_id == utterance_id and turn.role == role for turn in state.turns)


def dialogue_with(state: pb.Conversation | None, turn: pb.Turn, most: int) -> list[pb.Turn]:
    """The last `most` turns, the person's present one last; answers to what has not come yet are left out.

    Of the turns before only what was said and its label: what they are to the model, the state knows.
    """
    spoken, _ = _spoken(() if state is None else state.turns)
    return [*map(_plain, spoken), turn][-most:]


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
    spoken, early = _spoken(() if state is None else state.turns)
    if state is None:  # then the decision itself tells what was said before
        spoken, _ = _spoken(decision.dialogue[:-1])
    said = pb.Turn()
    said.CopyFrom(decision.dialogue[-1])
    said.emotion.extend(decision.user_emotion)
    # A reply may have come first: the sentinel does not wait for us.
    spoken += [said, *(turn for turn in early if turn.utterance_id == utterance_id)]
    return pb.Conversation(
        context=decision.context,
        turns=_trimmed(spoken, [turn for turn in early if turn.utterance_id != utterance_id], most),
        steps=max(min(decision.step + 1, MOST_STEPS), 0 if state is None else state.steps),
        revision=_revision(state, decision),
    )


def after_reply(
    state: pb.Conversation | None, reply: pb.Reply, most: int, chars: int, vector: bytes = b""
) -> pb.Conversation | None:
    """The state once this reply is durable; None when it knows of it already. `vector` is that of its words, `packed`.

    The reply stands after what it answers, whatever was said since; before its utterance has come, it waits at the end.
    """
    utterance_id = reply.context.utterance_id
    if has_turn(state, utterance_id, pb.ROLE_SYSTEM):
        return None
    answer = pb.Turn(
        role=pb.ROLE_SYSTEM,
        text=shortened(reply.text, chars),
        utterance_id=utterance_id,
        label=reply.strategy,
        vector=vector,
    )
    changed = pb.Conversation(context=reply.context)
    if state is not None:
        changed.CopyFrom(state)
    spoken, early = _spoken(changed.turns)
    place = next((number for number, turn in enumerate(spoken, 1) if turn.utterance_id == utterance_id), None)
    if place is None:
        early.append(answer)
    else:
        spoken.insert(place, answer)
    turns = _trimmed(spoken, early, most)
    del changed.turns[:]
    changed.turns.extend(turns)
    changed.revision = _revision(state, reply)
    return changed


def after_erasure(state: pb.Conversation | None, erasure: pb.Erasure) -> pb.Conversation | None:
    """The state without anything that was said; None when nothing is remembered.

    Its steps stay: by them a decision from before, which may be met once more, is known as an old one. A conversation
    that we do not know (any more) gets an empty state too, which takes the place of what the topic may still hold.
    """
    if state is not None and not state.turns:
        return None
    before = erasure.context
    return pb.Conversation(
        context=pb.Context(
            tenant=before.tenant, conversation_id=before.conversation_id, utterance_id=before.utterance_id
        ),
        steps=0 if state is None else state.steps,
        revision=max(erasure.erased_at_us, 1 if state is None else min(state.revision + 1, LAST_REVISION)),
    )


def _spoken(turns: Iterable[pb.Turn]) -> tuple[list[pb.Turn], list[pb.Turn]]:
    """What was said in order, and the answers whose utterance has not come; what answers nothing was simply said."""
    heard: set[str] = set()
    spoken: list[pb.Turn] = []
    early: list[pb.Turn] = []
    for turn in turns:
        if turn.role == pb.ROLE_USER:
            heard.add(turn.utterance_id)
        (spoken if turn.utterance_id in heard or not turn.utterance_id else early).append(turn)
    return spoken, early


def _trimmed(spoken: list[pb.Turn], early: list[pb.Turn], most: int) -> list[pb.Turn]:
    """At most `most` turns of what was said: an utterance leaves with its answer, which else would seem early.

    Of those that the model is not told of any more only the words are kept.
    """
    first = max(0, len(spoken) - most)
    while 0 < first < len(spoken) and spoken[first].utterance_id == spoken[first - 1].utterance_id:
        first += 1
    kept = spoken[first:]
    return [*map(_plain, kept[:-TURNS]), *kept[-TURNS:], *early[-MOST_EARLY:]]


def _plain(turn: pb.Turn) -> pb.Turn:
    """What was said and its label, without what they are to the model."""
    return pb.Turn(role=turn.role, text=turn.text, utterance_id=turn.utterance_id, label=turn.label)


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
    return max(made_at_us, 1 if state is None else min(state.revision + 1, LAST_REVISION))
