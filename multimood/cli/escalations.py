"""`multimood escalations`: who waits for a human, and taking it over. Ids only, never what was said."""

import asyncio
import json
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from multimood import topics
from multimood.bus.envelope import decode, output
from multimood.bus.probe import why
from multimood.bus.publisher import Publisher
from multimood.bus.tail import PartitionTail
from multimood.cli.account import level_label
from multimood.cli.brokers import kafka_of
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import ConfigurationError, InvalidEventError, MultimoodError, NotFoundError, UnavailableError
from multimood.safety import Handover, Handovers
from multimood.settings import KafkaSettings

DATA: Final = Path(".data")
MOST: Final = 1_000_000
"""So many are read at most; the sentinel keeps fewer."""
MOST_BY: Final = 64
T = TypeVar("T")

app = typer.Typer(
    invoke_without_command=True,
    help="Crises that wait for a human. Alone: lists the open ones. Said again until somebody takes them over (`ack`).",
)

DataOption = Annotated[Path, typer.Option("--data", help="Folder of the local system to ask.")]
JsonOption = Annotated[bool, typer.Option("--json", help="A JSON array, for programs.")]


@app.callback()
def escalations(context: typer.Context, as_json: JsonOption = False, data: DataOption = DATA) -> None:
    """Crises that wait for a human. Alone: lists the open ones."""
    if context.invoked_subcommand is None:
        ls(as_json, data)


@app.command("ls")
def ls(as_json: JsonOption = False, data: DataOption = DATA) -> None:
    """List the open escalations, the oldest first: level, age, notices so far, and the role that was told last.

    Reads the broker of MULTIMOOD_KAFKA_BROKERS, else that of the local system.
    """
    found = _run(_open(data))
    if as_json:
        typer.echo(json.dumps([as_object(one, now_us()) for one in found], indent=1))
        return
    table = Table("escalation", "level", "open for", "tenant/conversation", "notices", "told", box=None, pad_edge=False)
    for one in found:
        place = escape(f"{one.context.tenant}/{one.context.conversation_id}")
        told = [str(one.notice), escape(one.notify or "-")]
        table.add_row(escape(one.id), level_label(one.level), _age(now_us() - one.opened_at_us), place, *told)
    Console().print(table if found else "no open escalations")


@app.command("ack")
def ack(
    identity: Annotated[str, typer.Argument(metavar="ID", help="The escalation, as `ls` prints it.")],
    by: Annotated[str, typer.Option("--by", help="Who takes over: a name or a role, at most 64 characters.")],
    note: Annotated[str, typer.Option("--note", help="For your people; never what was said.")] = "",
    data: DataOption = DATA,
) -> None:
    """Say that a human has taken an escalation over: it is said no more, and replies are generated again.

    A crisis that comes after this opens another escalation.
    """
    one = _run(_acknowledge(data, identity, by.strip(), note))
    typer.echo(
        f"{one.id} acknowledged by {by.strip()}: open for {_age(now_us() - one.opened_at_us)}, {one.notice} notices"
    )


def as_object(one: Handover, at_us: int) -> dict[str, Any]:
    """What `--json` says of an escalation. Times are ISO 8601, in UTC."""
    return {
        "escalation_id": one.id,
        "level": level_label(one.level),
        "tenant": one.context.tenant,
        "conversation_id": one.context.conversation_id,
        "utterance_id": one.context.utterance_id,
        "locale": one.context.locale,
        "opened_at": _iso(one.opened_at_us),
        "age_s": round(max(0, at_us - one.opened_at_us) / 1e6, 1),
        "last_crisis_at": _iso(one.crisis_at_us),
        "notices": one.notice,
        "told": one.notify,
        "told_at": _iso(one.notified_at_us),
    }


async def open_escalations(kafka: KafkaSettings) -> Sequence[Handover]:
    """Everything that is open on the broker, the oldest first. Raises UnavailableError."""
    handovers, tail = Handovers(MOST), PartitionTail(kafka)
    try:
        await tail.start()
        both = (topics.ACKNOWLEDGEMENT, topics.ESCALATION)
        counts = await tail.partitions(both)
        if not all(counts.values()):
            raise UnavailableError(f"{kafka.brokers} lacks topics: run `multimood topics apply`")
        for topic in both:
            for partition in range(counts[topic.name]):
                async for record in tail.read(topic, partition):
                    try:
                        event = decode(topic, record.value, record.headers, record.key, 0)
                    except InvalidEventError:
                        continue
                    assert isinstance(event.message, (pb.Acknowledgement, pb.Escalation))
                    handovers.see(event.message)
    except (KafkaError, OSError) as error:
        raise await why(error, kafka, "reading the topics") from None
    finally:
        await tail.stop()
    return handovers.open(now_us())


async def _open(data: Path) -> Sequence[Handover]:
    return await open_escalations(kafka_of(data))


async def _acknowledge(data: Path, identity: str, by: str, note: str) -> Handover:
    if not by or len(by) > MOST_BY or not by.isprintable():
        raise ConfigurationError(f"--by has {len(by)} characters: say who takes over, in 1 to {MOST_BY} printable ones")
    kafka = kafka_of(data)
    one = next((one for one in await open_escalations(kafka) if one.id == identity), None)
    if one is None:
        raise NotFoundError(f"no open escalation has the id {identity!r}: `multimood escalations` lists them")
    # Whoever acknowledges has seen what is listed, whatever this machine's clock says.
    at_us = max(now_us(), one.crisis_at_us)
    taken = pb.Acknowledgement(context=one.context, escalation_id=one.id, by=by, acknowledged_at_us=at_us, note=note)
    out, publisher = output(topics.ACKNOWLEDGEMENT, taken, f"{one.id}/{at_us}"), Publisher(kafka, "cli")
    try:
        await publisher.start()
        await publisher.publish(out.topic, taken, out.id)
    finally:
        await publisher.stop()
    return one


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except MultimoodError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(1) from None


def _age(us: int) -> str:
    minutes, seconds = divmod(max(0, us) // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join([f"{count} {unit}" for count, unit in parts if count][:2]) or "0 s"


def _iso(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="milliseconds")
