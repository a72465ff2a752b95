"""What our own code adds per hop: `python -m benchmarks.pipeline [--turns N] [--json FILE]`.

Starts the whole system, holds turns one after another (low load) and reads from the records' own hop lines how long
each service had an utterance, how much of that it waited for a model, the store or the LLM, and how long the record was
on its way through Kafka. Beside it, in the same run and on the same broker, the floor: a bare aiokafka echo.
How soon a human hears of a crisis: `benchmarks.escalation`.
"""

import argparse
import asyncio
import json
import secrets
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console
from rich.progress import track
from rich.table import Table

from multimood import topics
from multimood.cli.account import TurnAccount
from multimood.cli.talk import hold_turn
from multimood.client import Client, TurnInput
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.samples import face_clip, speech
from multimood.local.stack import Stack

WARM_UP: Final = 3
ECHOES: Final = 50
SAID: Final = "I lost my job on Friday, and I still have not told anybody at home."
BUDGET_MS: Final = (3.0, 10.0)
"""Of our code and Kafka per hop, p50 and p99."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds."""

    n: int
    p50: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of any number of values, at least one."""
        return cls(len(values), round(float(np.percentile(values, 50)), 2), round(float(np.percentile(values, 99)), 2))


@dataclass(frozen=True, slots=True)
class HopFigures:
    """One service: its own time, the time it waited for models, and Kafka's before it."""

    service: str
    own: Spread
    model: Spread
    before: Spread | None
    """From the producer's hand-over to the record's arrival here; None for the gateway."""


def hops_of(account: TurnAccount) -> list[pb.Hop]:
    """Every service's line of one turn."""
    messages: Iterable[Any] = (account.decision, account.reply, account.trust)
    return [hop for message in messages if message is not None for hop in message.hops]


PRECEDES: Final[Mapping[str, tuple[str, ...]]] = {
    "text_encoder": ("gateway",),
    "audio_encoder": ("gateway",),
    "video_encoder": ("gateway",),
    "sentinel": ("gateway",),
    "joiner": ("text_encoder", "audio_encoder", "video_encoder", "sentinel"),
    "strategist": ("joiner",),
    "responder": ("strategist",),
    "reward": ("responder",),
}


def figures(accounts: Sequence[TurnAccount]) -> list[HopFigures]:
    """Summarise the hops of many turns, service by service."""
    own: dict[str, list[float]] = defaultdict(list)
    model: dict[str, list[float]] = defaultdict(list)
    before: dict[str, list[float]] = defaultdict(list)
    for account in accounts:
        hops = hops_of(account)
        produced = {hop.service: hop.produced_at_us for hop in hops}
        for hop in hops:
            total = (hop.produced_at_us - hop.received_at_us) / 1000
            model[hop.service].append(hop.model_us / 1000)
            own[hop.service].append(max(0.0, total - hop.model_us / 1000))
            last = [produced[name] for name in PRECEDES.get(hop.service, ()) if name in produced]
            if last:
                before[hop.service].append(max(0.0, (hop.received_at_us - max(last)) / 1000))
    return [
        HopFigures(
            name, Spread.of(own[name]), Spread.of(model[name]), Spread.of(before[name]) if before[name] else None
        )
        for name in ("gateway", *PRECEDES)
        if name in own
    ]


async def echo(brokers: str, count: int) -> Spread:
    """The floor: one produce and one fetch of a 2 KiB record by bare aiokafka, acks=all, as a hop does it."""
    topic = topics.FEEDBACK.dead_letters  # one that nobody reads
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, enable_auto_commit=False)
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all", enable_idempotence=True)
    await consumer.start()
    await producer.start()
    try:
        tp = TopicPartition(topic, 0)
        consumer.assign([tp])
        await consumer.seek_to_end(tp)
        await consumer.position(tp)
        times = []
        for number in range(count + WARM_UP):
            began = time.perf_counter()
            await producer.send_and_wait(topic, bytes(2048), partition=0)
            await consumer.getone()
            if number >= WARM_UP:
                times.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.02)
        return Spread.of(times)
    finally:
        await producer.stop()
        await consumer.stop()


async def hold(system: Stack, turns: Sequence[TurnInput], console: Console) -> list[TurnAccount]:
    """One turn after the other, each to its trust score."""
    async with Client(system.gateway, system.api_key) as client:
        return [await hold_turn(client, turn, None) for turn in track(turns, "turns", console=console)]


def made(count: int, folder: Path) -> list[TurnInput]:
    """Turns with everything, in conversations of their own."""
    voice = speech(SAID, folder / "voice.wav")
    film = face_clip(voice, folder / "face.mp4").read_bytes()
    sound = voice.read_bytes()
    names = (f"bench-{secrets.token_hex(4)}" for _ in range(count))
    return [TurnInput(name, text=SAID, audio=sound, video=film, learning_consent=True) for name in names]


def table(rows: Sequence[HopFigures], floor: Spread) -> Table:
    """For people."""
    shown = Table("service", "n", "own", "through Kafka before it", "models, store")
    for row in rows:
        spreads = (row.own, row.before, row.model)
        cells = (f"{spread.p50:.1f} / {spread.p99:.1f}" if spread is not None else "-" for spread in spreads)
        shown.add_row(row.service, str(row.own.n), *cells)
    shown.caption = f"milliseconds, p50 / p99; a bare aiokafka echo in the same run: {floor.p50:.1f} / {floor.p99:.1f}"
    return shown


@dataclass(frozen=True, slots=True)
class Measured:
    """One run."""

    hops: Sequence[HopFigures]
    echoes: Sequence[Spread]
    """The floor, before and after the turns."""
    first_token: Spread
    total: Spread

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "hops": {row.service: asdict(row) for row in self.hops},
            "bare_echo": [asdict(spread) for spread in self.echoes],
            "caller": {"first_token": asdict(self.first_token), "total": asdict(self.total)},
        }


def measure(count: int, console: Console) -> Measured:
    """Start a system, hold the turns, stop it."""
    with tempfile.TemporaryDirectory(prefix="multimood-bench-") as name, ExitStack() as ending:
        folder = Path(name)
        turns = made(count + WARM_UP, folder)
        with console.status("starting the system"):
            system = ending.enter_context(Stack(folder / "system", env={"MULTIMOOD_RESPONDER_MAX_TOKENS": "32"}))
        echoes = [asyncio.run(echo(system.kafka_brokers, ECHOES))]
        accounts = asyncio.run(hold(system, turns, console))[WARM_UP:]
        echoes.append(asyncio.run(echo(system.kafka_brokers, ECHOES)))
    first = [account.first_token_ms for account in accounts if account.first_token_ms is not None]
    total = [account.total_ms for account in accounts if account.total_ms is not None]
    return Measured(figures(accounts), echoes, Spread.of(first), Spread.of(total))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=40, help="turns that are measured (default 40)")
    parser.add_argument("--quick", action="store_true", help="10 turns")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    console = Console()
    measured = measure(10 if arguments.quick else arguments.turns, console)
    console.print(table(measured.hops, min(measured.echoes, key=lambda spread: spread.p50)))
    for what, spread in (
        ("first token, as the caller saw it", measured.first_token),
        ("whole reply, as the caller saw it", measured.total),
    ):
        console.print(f"{what}: p50 {spread.p50:.0f} ms, p99 {spread.p99:.0f} ms (n={spread.n})")
    console.print(f"budget: our code and Kafka per hop {BUDGET_MS[0]:.0f} / {BUDGET_MS[1]:.0f} ms")
    if arguments.json:
        arguments.json.write_text(json.dumps(measured.as_json(), indent=1) + "\n")


if __name__ == "__main__":
    main()
