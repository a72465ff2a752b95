"""Replies of the served language model to what persons of a corpus said, by the responder's own prompt and limits."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any, Final, TypeAlias

from multimood.contracts.v1 import events_pb2 as pb
from multimood.evaluation.concurrently import all_of
from multimood.evaluation.past import likeliest
from multimood.evaluation.replies import reply_scores
from multimood.evaluation.rows import Replies, Seen
from multimood.evaluation.served import Served
from multimood.evaluation.walk import Moment
from multimood.generation import Ask, ReplyPrompt, Situation, TritonGenerator
from multimood.generation.dialogue import Said
from multimood.generation.draft import Draft
from multimood.generation.settings import ReplySettings
from multimood.perception.conversation import dialogue_with
from multimood.perception.settings import PerceptionSettings

Place: TypeAlias = tuple[int, int]
"""A dialogue's number, and the reply's row in it."""

AT_ONCE: Final = 2
MOST_CHARACTERS: Final = 4_000
SEED: Final = 0
WITHIN_S: Final = 120.0


class Writer:
    """The language model on the server."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._settings = ReplySettings()
        self._turns = PerceptionSettings().turns
        self._prompt = ReplyPrompt.load(self._settings.prompt)
        self._generator = TritonGenerator(served.client, self._settings.model)

    async def write(self, moment: Moment, seed: int) -> str:
        """The reply to the person's utterance at that moment; without the guard, which only lets go or not."""
        settings, said = self._settings, moment.said
        assert said is not None
        turn = pb.Turn(role=pb.ROLE_USER, text=said.text, utterance_id="now")
        dialogue = [
            Said("assistant" if one.role == pb.ROLE_SYSTEM else "user", one.text)
            for one in dialogue_with(moment.state, turn, self._turns)
        ]
        messages = self._prompt.render(situation_of(moment), dialogue, settings.dialogue_chars)
        draft = Draft(most_sentences=settings.max_sentences, most_characters=MOST_CHARACTERS)
        ask = Ask(messages, settings.max_tokens, settings.temperature, seed, WITHIN_S)
        is_cut = False
        async with aclosing(self._generator.stream(ask)) as pieces:
            async for piece in pieces:
                self._served.note(self._settings.model, piece.model_version)
                draft.add(piece.text)
                is_cut = piece.finish not in {"", "stop"}
                if piece.finish or draft.full:
                    break
        return draft.finish(cut=is_cut)


def situation_of(moment: Moment) -> Situation:
    """What the prompt says of the person and of the reply: what was perceived, and the likeliest strategy."""
    seen = moment.perception
    emotion = likeliest(seen.emotion)
    return Situation(
        strategy=likeliest(seen.strategy),
        emotion=emotion,
        emotion_p=seen.emotion[emotion],
        intensity=seen.intensity,
        stage=seen.stage,
        system_emotion=likeliest(seen.system_emotion),
    )


def answered(dialogues: Sequence[Sequence[Seen]], which: Replies) -> list[Place]:
    """Where something was replied to a person: all such rows, or of each dialogue its last row."""
    return [
        (number, row)
        for number, said in enumerate(dialogues)
        for row in range({"all": 1, "last": max(1, len(said) - 1), "none": len(said)}[which], len(said))
        if said[row].role == "system" and said[row - 1].role == "user" and said[row].text
    ]


def sampled(places: Sequence[Place], most: int) -> list[Place]:
    """At most so many, the same ones every time."""
    return random.Random(SEED).sample(places, min(most, len(places)))  # noqa: S311 - sampling, not secrets


async def write_replies(
    places: Sequence[Place],
    dialogues: Sequence[Sequence[Seen]],
    moments: Sequence[Sequence[Moment]],
    writer: Writer,
    tick: Callable[[], None],
) -> dict[str, Any]:
    """Scores of replies at those places beside what was really said there; `tick` is called for each."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, row: int) -> str:
        async with turn:
            reply = await writer.write(moments[number][row], SEED)
            tick()
            return reply

    written = await all_of(one(*place) for place in places)
    return reply_scores(written, [dialogues[number][row].text for number, row in places])
