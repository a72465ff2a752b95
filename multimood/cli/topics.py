"""`multimood topics`: what is on the broker, and what should be."""

import typer
from rich.console import Console
from rich.table import Table

from multimood.bus.admin import apply_topics
from multimood.errors import MultimoodError
from multimood.settings import KafkaSettings
from multimood.topics import DAY_MS, TOPICS

app = typer.Typer(no_args_is_help=True)


@app.command("apply")
def apply() -> None:
    """Create the topics that are missing on MULTIMOOD_KAFKA_BROKERS; leave the others as they are."""
    settings = KafkaSettings()
    try:
        created = apply_topics(settings)
    except MultimoodError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    for name in created:
        typer.echo(f"created {name}")
    typer.echo(
        f"{len(created)} created, {2 * len(TOPICS) - len(created)} were there ({settings.partitions} partitions each)"
    )


@app.command("ls")
def ls() -> None:
    """List the topics, what they carry and how long it is kept."""
    table = Table("topic", "message", "kept for", "cleanup")
    for topic in TOPICS:
        table.add_row(topic.name, topic.message.DESCRIPTOR.name, f"{topic.retention_ms / DAY_MS:g} d", topic.cleanup)
    Console().print(table)
