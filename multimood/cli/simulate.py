"""`multimood simulate`: simulated seekers hold conversations through a gateway, or leave a log without any system."""

import asyncio
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from multimood.cli.explained import explained
from multimood.cli.ope import REMEDY
from multimood.cli.talk import Door
from multimood.cli.written import place
from multimood.client import Tls
from multimood.errors import ConfigurationError

if TYPE_CHECKING:
    from multimood.simulator import Turn
    from multimood.simulator.platform import Failed, Plan, Told

Behaviour: TypeAlias = Literal["book", "hasty", "uniform"]

DATA: Final = Path(".data")
ROWS_A_FILE: Final = 5000

ConversationsOption = Annotated[int, typer.Option("--conversations", min=1, help="How many seekers come.")]
TurnsOption = Annotated[int, typer.Option("--turns", min=1, max=50, help="At most so many turns each; some leave.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of the seekers; the system's own draws are its own.")]
AtOnceOption = Annotated[int, typer.Option("--at-once", min=1, help="Conversations at the same time.")]
TruthOption = Annotated[
    Path | None,
    typer.Option(
        "--truth",
        help="Write each turn's hidden state and true rewards there, for `multimood ope --truth`.",
        callback=place,
    ),
]
LogOption = Annotated[
    Path | None,
    typer.Option("--log", help="No gateway: simulate in memory and write experience rows into this new folder."),
]
BehaviourOption = Annotated[
    Behaviour,
    typer.Option(
        "--behaviour",
        help="--log: who leads: by the book of the stages, hasty (a poor one: advice first), or uniform; the first two "
        "explore in a fifth of the choices.",
    ),
]
GatewayOption = Annotated[
    str, typer.Option("--gateway", envvar="MULTIMOOD_ADDRESS", help="host:port; else that of the local system.")
]
KeyOption = Annotated[str, typer.Option("--api-key", envvar="MULTIMOOD_API_KEY", help="Its API key.")]
TlsOption = Annotated[bool, typer.Option("--tls", help="Talk TLS.")]
AuthorityOption = Annotated[
    Path | None, typer.Option("--ca", help="TLS, checked by this PEM file.", exists=True, dir_okay=False)
]
DataOption = Annotated[Path, typer.Option("--data", help="Folder of the local system to talk to.")]


def simulate(  # noqa: PLR0917 - typer makes options of them
    conversations: ConversationsOption = 20,
    turns: TurnsOption = 8,
    seed: SeedOption = 0,
    at_once: AtOnceOption = 4,
    truth: TruthOption = None,
    log: LogOption = None,
    behaviour: BehaviourOption = "book",
    gateway: GatewayOption = "",
    api_key: KeyOption = "",
    tls: TlsOption = False,
    authority: AuthorityOption = None,
    data: DataOption = DATA,
) -> None:
    """Let simulated seekers talk to the system, with consent to learning, and give feedback that is true.

    Their hidden state (distress, trust, readiness; six profiles, resistant ones among them) moves by the strategies
    that are chosen, in a known way: docs/ope.md. What is said is made of templates. With --log nothing has to run.

    Prints one line of JSON at the end. Exit code 1 when a conversation failed.
    """
    with explained(REMEDY), _bars() as progress:
        if log is not None:
            summary = _write(log, Size(conversations, turns, seed), behaviour, truth, progress)
        else:
            door = Door.find(data, gateway, api_key, Tls(authority) if tls or authority else None)
            summary = _talk(door, Size(conversations, turns, seed), at_once, truth, progress)
    typer.echo(json.dumps(summary))
    if summary.get("failed"):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated."""

    conversations: int
    turns: int
    seed: int


def _talk(door: Door, size: Size, at_once: int, truth: Path | None, progress: Progress) -> dict[str, Any]:
    from multimood.simulator.platform import Failed, Plan  # noqa: PLC0415 - see REMEDY

    plan = Plan(f"sim-{secrets.token_hex(4)}", size.conversations, size.turns, at_once, size.seed)
    found = asyncio.run(_held(door, plan, progress))
    told = [one for one in found if not isinstance(one, Failed)]
    failed = [one for one in found if isinstance(one, Failed)]
    for one in failed:
        typer.echo(f"{one.conversation_id} ended in turn {one.step}: {one.reason}", err=True)
    if truth is not None:
        _save(truth, [asdict(one) for one in told])
    mean = sum(one.reward for one in told) / len(told) if told else None
    return {
        "conversations": plan.name, "turns": len(told), "failed": len(failed), "mean_rating": mean,
        "truth": None if truth is None else str(truth),
    }  # fmt: skip


async def _held(door: Door, plan: "Plan", progress: Progress) -> "list[Told | Failed]":
    from multimood.simulator.platform import talk  # noqa: PLC0415 - see REMEDY

    task = progress.add_task("turns, at most", total=plan.conversations * plan.turns)
    found = []
    async with AsyncExitStack() as ending:
        client = await ending.enter_async_context(door.open())
        await client.connect()
        async for one in talk(client, plan):
            found.append(one)
            progress.advance(task)
    progress.update(task, total=len(found), completed=len(found))
    return found


def _write(folder: Path, size: Size, led: Behaviour, truth: Path | None, progress: Progress) -> dict[str, Any]:
    """Simulate in memory; the log is written a few thousand rows at a time."""
    import numpy as np  # noqa: PLC0415 - see REMEDY

    from multimood.simulator import World, converse, logging_world, rows  # noqa: PLC0415 - see REMEDY
    from multimood.simulator.records import save  # noqa: PLC0415 - see REMEDY

    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(f"--log {folder} is not empty: name a new folder, so that logs are not mixed")
    name, known = f"sim-{size.seed}", list[dict[str, Any]]()
    task = progress.add_task("turns, at most", total=size.conversations * size.turns)
    world, rng = World("mesc", size.turns, *logging_world()[led]), np.random.default_rng(size.seed)

    def watched() -> "Iterator[Turn]":
        for turn in converse(world, size.conversations, rng):
            progress.advance(task, len(turn.conversation))
            if truth is not None:
                known.extend(_known(turn, name))
            yield turn

    written = save(rows(watched(), name), folder, ROWS_A_FILE)
    progress.update(task, total=written, completed=written)
    if truth is not None:
        _save(truth, known)
    return {"conversations": name, "turns": written, "log": str(folder), "truth": None if truth is None else str(truth)}


def _known(turn: "Turn", name: str) -> Iterator[dict[str, Any]]:
    from multimood.simulator.records import utterance  # noqa: PLC0415 - see REMEDY

    for conversation, expected in zip(turn.conversation, turn.oracle().tolist(), strict=True):
        known = dict(zip(turn.actions, expected, strict=True))
        yield {"utterance_id": utterance(name, int(conversation), turn.step), "expected": known}


def _save(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _bars() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))
