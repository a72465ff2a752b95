"""Dialogues through the fusion model, turn by turn, as the strategist goes through them. Takes what is seen only."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.evaluation.concurrently import all_of
from multimood.evaluation.encode import Encoded
from multimood.evaluation.faces import with_face
from multimood.evaluation.past import Kept, Past
from multimood.evaluation.rows import Seen
from multimood.perception.conversation import packed
from multimood.perception.fusion import Perception, Sight

Ask = Callable[[Sight, pb.Conversation | None], Awaitable[Perception]]
"""The fusion model: what is seen of an utterance, and the conversation before it."""

AT_ONCE: Final = 48
"""Dialogues."""
NAMES: Final = {"text": pb.MODALITY_TEXT, "audio": pb.MODALITY_AUDIO, "video": pb.MODALITY_VIDEO}


@dataclass(frozen=True, slots=True)
class Moment:
    """What is predicted at a row, from that row if it is a person's, from what was before it if it is a reply.

    `modalities` are those that the person's utterance came with; `state` is the conversation before that utterance.
    """

    perception: Perception
    modalities: frozenset[str]
    state: pb.Conversation | None
    said: Seen | None
    """The person's utterance; None before the first."""


async def walk(
    dialogue: Sequence[Seen],
    encoded: Encoded,
    ask: Ask,
    kept: Kept,
    *,
    mask: Collection[str] | None = None,
    told: Sequence[Moment] | None = None,
) -> list[Moment]:
    """Predict at every row, with the modalities of `mask` only (None: all there are).

    With `told`, the moments of another walk, every row is predicted from the state that walk had there: so the history
    of a walk with everything is joined with an utterance of which only `mask` came.
    """
    past = Past(kept)
    moments: list[Moment] = []
    last: Moment | None = None
    person: Seen | None = None
    is_new = False  # the person's utterance has not been answered yet
    for place, seen in enumerate(dialogue):
        if seen.role == "user":
            person = seen
            state = told[place].state if told else past.state(seen.speaker)
            last = await _moment(person, state, encoded, ask, mask)
            past.heard(seen.speaker, seen.text, _words(seen, encoded, mask), last.perception)
            is_new = True
        else:
            if last is None or not is_new:  # what is said next, with nothing new from the person
                state = told[place].state if told else past.state(person.speaker if person else "")
                last = Moment(await ask(Sight(), state), last.modalities if last else frozenset(), state, person)
            past.answered(seen.text, _words(seen, encoded, None))
            is_new = False
        moments.append(last)
    return moments


def _words(seen: Seen, encoded: Encoded, mask: Collection[str] | None) -> bytes:
    """The vector of what was said, as a turn keeps it."""
    vector = encoded.words(seen.text) if mask is None or "text" in mask else None
    return b"" if vector is None else packed(vector)


async def _moment(
    person: Seen, state: pb.Conversation | None, encoded: Encoded, ask: Ask, mask: Collection[str] | None
) -> Moment:
    allowed = frozenset(NAMES) if mask is None else frozenset(mask)
    sight = encoded.sight(person)
    shown = {
        modality: sight.vectors[modality]
        for name, modality in NAMES.items()
        if name in allowed and modality in sight.vectors
    }
    perception = await ask(Sight(shown), state)
    if person.face is not None and "video" in allowed:
        heard = perception.by_modality.get(pb.MODALITY_AUDIO)
        perception = replace(perception, emotion=with_face(heard, person.face))
    return Moment(perception, encoded.modalities(person), state, person)


async def walk_all(
    dialogues: Sequence[Sequence[Seen]],
    encoded: Encoded,
    ask: Ask,
    kept: Kept,
    tick: Callable[[], None],
    *,
    mask: Collection[str] | None = None,
    told: Sequence[Sequence[Moment]] | None = None,
) -> list[list[Moment]]:
    """`walk` every dialogue, some at once; `tick` is called for each."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(place: int) -> list[Moment]:
        async with turn:
            before = told[place] if told else None
            found = await walk(dialogues[place], encoded, ask, kept, mask=mask, told=before)
            tick()
            return found

    return await all_of(one(place) for place in range(len(dialogues)))
