"""What the system adds to the model's own first token: `python -m benchmarks.first_token [--quick] [--json FILE]`.

One turn after another through the whole system, text only. Between them Triton is asked directly for a reply to the
prompt that the responder had made two turns before, with the words of the person in another order: as long, and the
model remembers as little of it as of the turn's own. The caller's time to the first words that leave the system, less
the model's own time to its first token beside it: what perception, decision, Kafka, the guard (which sees a piece only
when whole words are there) and the gateway add.
"""

import asyncio
import random
import secrets
import time
from contextlib import ExitStack, aclosing
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import harness
from benchmarks.pipeline import Spread
from multimood.cli.talk import hold_turn
from multimood.client import Client, TurnInput
from multimood.contracts.v1 import events_pb2 as pb
from multimood.generation import Ask
from multimood.generation.draft import Draft
from multimood.generation.triton import TritonGenerator
from multimood.inference import InferenceClient
from multimood.local.stack import Stack
from multimood.settings import TritonSettings
from services.responder.agent import Texts
from services.responder.plan import dialogue_of, situation_of
from services.responder.settings import ResponderSettings

GOAL_MS: Final = 50.0
WARM_UP: Final = 3
SAID: Final = (
    "I lost my job on Friday and I still have not told anybody at home.",
    "My sister does not talk to me any more and I do not know what I did.",
    "I finally passed the exam, and now I feel strangely empty about it.",
    "Nights are the worst, I lie awake and go through every mistake again.",
)


@dataclass(frozen=True, slots=True)
class Turn:
    """Milliseconds to the first words."""

    caller: float
    """From sending the turn to the first words at the caller."""
    responder: float
    """From the decision's arrival at the responder to the model's first token there."""
    direct: float
    """The model's first token, asked directly."""
    direct_words: float
    """The same until the first words that the responder would let go."""
    tokens: int

    @property
    def added(self) -> float:
        """By the system, above the model's first token."""
        return self.caller - self.direct


def shuffled(decision: pb.Decision) -> pb.Decision:
    """The same decision about the same words in another order."""
    other = pb.Decision()
    other.CopyFrom(decision)
    words = other.dialogue[-1].text.split()
    random.Random(7).shuffle(words)
    other.dialogue[-1].text = " ".join(words)
    return other


def ask_of(decision: pb.Decision, texts: Texts, settings: ResponderSettings) -> Ask:
    """What the responder asks the model."""
    messages = texts.prompt.render(situation_of(decision), dialogue_of(decision), settings.dialogue_chars)
    return Ask(messages, settings.max_tokens, settings.temperature, 1, settings.whole_s)


async def direct(generator: TritonGenerator, ask: Ask, settings: ResponderSettings) -> tuple[float, float]:
    """Milliseconds to the first token and to the first words that may leave."""
    draft = Draft(most_sentences=settings.max_sentences, most_characters=4_000)
    began, first, words = time.perf_counter(), 0.0, 0.0
    async with aclosing(cast("Any", generator.stream(ask))) as pieces:
        async for piece in pieces:
            now = (time.perf_counter() - began) * 1000
            if piece.text and not first:
                first = now
            draft.add(piece.text)
            if not words and draft.seen() and draft.take():
                words = now
            if words:
                break
    return first, words or first


async def measure(system: Stack, count: int, console: Console) -> list[Turn]:
    """Turns one after another, the model alone after each."""
    settings = ResponderSettings()
    texts = Texts.load(settings)
    generator = TritonGenerator(InferenceClient(TritonSettings(url=system.triton_url)))
    turns: list[Turn] = []
    decisions: list[pb.Decision] = []
    async with Client(system.gateway, system.api_key) as client:
        for number in track(range(count + WARM_UP), "turns", console=console):
            said = TurnInput(f"bench-{secrets.token_hex(4)}", text=SAID[number % len(SAID)])
            account = await hold_turn(client, said, None)
            if account.decision is None or account.reply is None or account.first_token_ms is None:
                continue
            decisions.append(account.decision)
            await asyncio.sleep(0.3)  # what the turn set off is over
            other = shuffled(decisions[max(0, len(decisions) - 3)])
            first, words = await direct(generator, ask_of(other, texts, settings), settings)
            await asyncio.sleep(0.3)
            reply = account.reply
            turns.append(Turn(account.first_token_ms, reply.first_token_us / 1000, first, words, reply.prompt_tokens))
    await generator.close()
    return turns[WARM_UP:]


def main() -> None:
    """Measure, print, write."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--turns", type=int, help="default 100, quick 10")
    chosen = parser.parse_args()
    console = harness.console()
    with harness.folder() as folder, ExitStack() as ending:
        with console.status("starting the system"):
            env = {**harness.ONE_THREAD, "MULTIMOOD_RESPONDER_MAX_TOKENS": "32"}
            system = ending.enter_context(Stack(folder / "system", env=env))
        turns = asyncio.run(measure(system, chosen.turns or (10 if chosen.quick else 100), console))
    rows = {
        "first words at the caller": [turn.caller for turn in turns],
        "decision to first token, in the responder": [turn.responder for turn in turns],
        "model alone, first token": [turn.direct for turn in turns],
        "model alone, first words": [turn.direct_words for turn in turns],
        "added by the system (caller - first token)": [turn.added for turn in turns],
        "the same without waiting for whole words": [turn.caller - turn.direct_words for turn in turns],
    }
    shown = Table("milliseconds", "p50", "p99")
    for name, values in rows.items():
        spread = Spread.of(values)
        shown.add_row(name, f"{spread.p50:.0f}", f"{spread.p99:.0f}")
    shown.caption = f"{len(turns)} turns, one after another; prompts of {min(t.tokens for t in turns)} tokens and more"
    added = harness.median([turn.added for turn in turns])
    figures = {
        "spreads": {name: asdict(Spread.of(values)) for name, values in rows.items()},
        "turns": [{**asdict(turn), "added": turn.added} for turn in turns],
    }
    harness.report(
        console, shown, [harness.Goal("first token, added (p50, ms)", added, GOAL_MS, at_least=False)], figures,
        chosen.json,
    )  # fmt: skip


if __name__ == "__main__":
    main()
