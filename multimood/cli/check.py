"""`multimood check`: which one outcome every accepted utterance had. Ids only, never what was said."""

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from multimood.cli.brokers import kafka_of
from multimood.errors import MultimoodError
from multimood.local.endpoints import Endpoints
from multimood.settings import KafkaSettings, StoreSettings

if TYPE_CHECKING:
    from multimood.audit.summary import Summary

DATA: Final = Path(".data")
GRACE_S: Final = 120.0
ROWS: Final = (
    ("accepted", "are on the utterance topic, or were confirmed to somebody"),
    ("replied", "have a reply"),
    ("escalated", "were handed to people, with a vetted reply"),
    ("rejected", "were given up, and the platform was told why"),
    ("dead_lettered", "are bytes that nobody could read, kept as a dead letter"),
    ("pending", "are young and may still be on their way"),
    ("partial", "have an outcome, but something is missing beside it"),
    ("lost", "have no outcome"),
    ("duplicated", "have more than one"),
    ("unsafe", "a crisis without its vetted reply, or a row without consent"),
)


def check(
    data: Annotated[Path, typer.Option("--data", help="Folder of the local system to check.")] = DATA,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs.")] = False,
    accepted: Annotated[
        Path | None, typer.Option("--accepted", help="Utterance ids that were confirmed, one a line.", exists=True)
    ] = None,
    grace_s: Annotated[
        float, typer.Option("--grace", min=0, help="Seconds in which an utterance may still be on its way.")
    ] = GRACE_S,
) -> None:
    """Say which one outcome every accepted utterance had; exit code 1 if any is lost, duplicated or unsafe.

    Reads broker and store of MULTIMOOD_KAFKA_BROKERS and MULTIMOOD_S3_ENDPOINT, else those of the local system.
    """
    from multimood.audit.reading import audit  # noqa: PLC0415 - pyarrow is slow to import

    try:
        confirmed = accepted.read_text().split() if accepted is not None else ()
        kafka, store = _where(data)
        summary = asyncio.run(audit(kafka, store, confirmed=confirmed, grace_s=grace_s))
    except MultimoodError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(summary.as_json(), indent=1))
    else:
        show(summary, Console())
    raise typer.Exit(0 if summary.is_sound else 1)


def _where(data: Path) -> tuple[KafkaSettings, StoreSettings]:
    if "MULTIMOOD_KAFKA_BROKERS" in os.environ:
        return kafka_of(), StoreSettings()
    endpoints = Endpoints.of(data)
    return endpoints.kafka, endpoints.s3


def show(summary: "Summary", console: Console) -> None:
    """Print the counts, and the first of those that accuse."""
    from multimood.audit.summary import FAULTS  # noqa: PLC0415

    counts = summary.as_json()
    table = Table("utterances", "", "that", box=None, pad_edge=False)
    for name, meaning in ROWS:
        accuses = name in FAULTS and counts[name]
        style = "bold red" if accuses else "dim" if not counts[name] else ""
        table.add_row(name.replace("_", "-"), str(counts[name]), meaning, style=style)
    console.print(table)
    for flag in (*FAULTS, "partial"):
        reasons = {key: count for key, count in summary.reasons.items() if key.startswith(f"{flag}: ")}
        for reason, count in sorted(reasons.items()):
            console.print(f"  {escape(reason)}: {count}")
        for name, why in summary.offenders.get(flag, ()) if flag in FAULTS else ():
            console.print(f"    {escape(name)}: {escape(', '.join(why))}", style="red")
    for topic, count in sorted(summary.repeated.items()):
        console.print(f"  more than one record on {topic}: {count} (readers keep the first)")
    if summary.unreadable:
        console.print(f"  records that cannot be decoded, on other topics: {summary.unreadable}")
