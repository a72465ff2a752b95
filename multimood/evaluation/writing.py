"""Replies of the served language model to what persons of a corpus said, by the responder's own prompt and limits."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.evaluation.concurrently import all_of
from multimood.evaluation.past import likeliest
from multimood.evaluation.replies import reply_scores
from multimood.evaluation.result import Progress
from multimood.evaluation.rows import Seen
from multimood.evaluation.served import Served
from multimood.evaluation.walk import Moment
from multimood.generation import Ask, ReplyPrompt, Situation, TritonGenerator
from multimood.generation.dialogue import Said
from multimood.generation.draft import Draft
from multimood.generation.settings import ReplySettings
from multimood.perception.conversation import dialogue_with
from multimood.perception.settings import PerceptionSettings

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


async def write_replies(
    dialogues: Sequence[Sequence[Seen]],
    moments: Sequence[Sequence[Moment]],
    writer: Writer,
    most: int,
    progress: Progress,
) -> dict[str, Any]:
    """Scores of at most so many replies, the same ones every time, beside what was really said."""
    places = [
        (which, row)
        for which, dialogue in enumerate(dialogues)
        for row in range(1, len(dialogue))
        if dialogue[row].role == "system" and dialogue[row - 1].role == "user" and dialogue[row].text
    ]
    chosen = random.Random(SEED).sample(places, min(most, len(places)))  # noqa: S311 - sampling, not secrets
    if not chosen:
        return {}
    tick, turn = progress.begin("writing replies", len(chosen)), asyncio.Semaphore(AT_ONCE)

    async def one(which: int, row: int) -> str:
        async with turn:
            reply = await writer.write(moments[which][row], SEED)
            tick()
            return reply

    written = await all_of(one(which, row) for which, row in chosen)
    return {**reply_scores(written, [dialogues[which][row].text for which, row in chosen]), "of": len(places)}
