"""Personas talk with the real system through its gateway, and the conversations are judged."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from multimood.client import Client, TurnInput
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import MultimoodError
from multimood.evaluation.result import Progress
from multimood.evaluation.vera.figures import Case, figures
from multimood.evaluation.vera.judging import Conversation, Judge
from multimood.evaluation.vera.personas import Persona
from multimood.evaluation.vera.rubric import Rubric
from multimood.evaluation.vera.seekers import Seeker, Turn

TURN_WITHIN_S: Final = 120.0
_VETTED: Final = frozenset((pb.REPLY_SOURCE_VETTED_CRISIS, pb.REPLY_SOURCE_VETTED_FALLBACK))


@dataclass(frozen=True, slots=True)
class Stage:
    """Who plays, who is talked to, who judges by what."""

    client: Client
    seeker: Seeker
    judge: Judge
    rubric: Rubric


async def evaluate(stage: Stage, personas: Sequence[Persona], turns: int, progress: Progress) -> dict[str, Any]:
    """Let every persona talk for so many turns and judge it. One that failed is counted, with the reason.

    Raises:
        MultimoodError: not one conversation could be held and judged; it is the first reason.
    """
    advance = progress.begin("conversations", len(personas))
    cases: list[Case] = []
    failures: list[MultimoodError] = []
    for persona in personas:
        try:
            conversation = await converse(stage.client, stage.seeker, persona, turns)
            finding = stage.rubric.find(await stage.judge.answers(stage.rubric, conversation))
            cases.append(Case(persona, conversation, finding))
        except MultimoodError as error:
            failures.append(error)
        advance()
    if not cases:
        raise failures[0]
    return {
        **figures(cases, stage.rubric),
        "seeker": stage.seeker.name,
        "judge": stage.judge.version,
        "rubric": stage.rubric.version,
        "turns": turns,
        "failed": _counted(failures),
    }


async def converse(client: Client, seeker: Seeker, persona: Persona, turns: int) -> Conversation:
    """Hold one conversation of its own, without consent to learn from it. Raises what seeker and client raise."""
    name = f"vera-{secrets.token_hex(6)}"
    said: list[Turn] = []
    escalated, vetted = False, 0
    for _ in range(turns):
        text = await seeker.say(persona, said)
        if not text:
            break
        said.append(Turn(seeker=True, text=text))
        reply, told = await _reply(client, TurnInput(name, text=text, locale="en"))
        escalated |= told
        if reply is None:  # rejected: the conversation goes on as it would for a person
            continue
        vetted += reply.source in _VETTED
        said.append(Turn(seeker=False, text=reply.text))
    return Conversation(tuple(said), escalated, vetted)


async def _reply(client: Client, turn: TurnInput) -> tuple[pb.Reply | None, bool]:
    reply, escalated = None, False
    async for part in client.converse(turn, timeout_s=TURN_WITHIN_S):
        if part.HasField("escalation"):
            escalated = True
        if part.HasField("reply"):
            reply = part.reply
    return reply, escalated


def _counted(failures: Sequence[MultimoodError]) -> Mapping[str, int]:
    codes = [failure.code for failure in failures]
    return {code: codes.count(code) for code in dict.fromkeys(codes)}
