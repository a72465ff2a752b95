"""The load: conversations of several turns, published through the gateway until it confirms each turn."""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from multimood.client import Client, GatewayRefusedError, TurnInput
from multimood.errors import UnavailableError
from multimood.local.samples import face_clip, speech

WORDS: Final = "I lost my job on Friday, and I have not told anybody at home."
CRISIS: Final = "I want to kill myself."
CRISIS_EVERY: Final = 10
CONVERSATIONS: Final = 12
"""Going on at once; each is left for a new one after some turns."""
TURNS: Final = 6
KINDS: Final = {"text": 0.7, "text and sound": 0.12, "text and film": 0.08, "sound": 0.1}
PUBLISH_S: Final = 20.0
RETRY_S: Final = 1.0
ON_THE_WAY: Final = 64
"""Turns that may wait for their confirmation at once."""


@dataclass(frozen=True, slots=True)
class Clips:
    """A voice and a face."""

    sound: bytes
    film: bytes

    @classmethod
    def made_in(cls, folder: Path) -> "Clips":
        """Make them, or take those made before."""
        voice = speech(WORDS, folder / "voice.wav")
        return cls(voice.read_bytes(), face_clip(voice, folder / "face.mp4").read_bytes())


def turns(seed: int, clips: Clips) -> Iterator[TurnInput]:
    """Turns without end. One in ten is a crisis, half of them may be learnt from."""
    chance, run, number = random.Random(seed), secrets.token_hex(3), 0
    while True:
        crisis = number % CRISIS_EVERY == 0
        (kind,) = ("text",) if crisis else chance.choices(list(KINDS), list(KINDS.values()))
        generation, slot = divmod(number, CONVERSATIONS * TURNS)
        yield TurnInput(
            f"{run}-{generation}-{slot % CONVERSATIONS}",
            utterance_id=f"{run}-u{number}",
            text="" if kind == "sound" else CRISIS if crisis else f"This is worry number {number}.",
            audio=clips.sound if "sound" in kind else b"",
            video=clips.film if "film" in kind else b"",
            learning_consent=chance.random() < 0.5,
        )
        number += 1


@dataclass(slots=True)
class Load:
    """Publishes turns at a rate, and notes which were confirmed."""

    connect: Callable[[], Client]
    rate_per_s: float
    begun: int = 0
    confirmed: list[str] = field(default_factory=list)
    again: int = 0
    """Calls that were not confirmed and had to be made again."""
    refused: Counter[str] = field(default_factory=Counter)
    """Turns that the gateway did not take, by its reason: they were never accepted."""

    async def run(self, source: Iterator[TurnInput], over: asyncio.Event) -> None:
        """Publish until `over` is set, and then until everything begun is confirmed."""
        room = asyncio.Semaphore(ON_THE_WAY)
        async with asyncio.TaskGroup() as group:
            while not over.is_set():
                await room.acquire()
                self.begun += 1
                task = group.create_task(self._publish(next(source)))
                task.add_done_callback(lambda _: room.release())
                await asyncio.sleep(1 / self.rate_per_s)

    async def _publish(self, turn: TurnInput) -> None:
        """Again and again until the gateway confirms it: a platform's duty, and its right."""
        while True:
            try:
                async with self.connect() as client:
                    await client.publish(turn, timeout_s=PUBLISH_S)
            except UnavailableError:
                self.again += 1
                await asyncio.sleep(RETRY_S)
            except GatewayRefusedError as error:
                self.refused[str(error)] += 1
                return
            else:
                self.confirmed.append(turn.utterance_id)
                return
