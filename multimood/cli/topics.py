"""`multimood topics`: what is on the broker, what should be, and who may do what with it."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from multimood.access import NAMES, acls_of
from multimood.bus.acls import apply_acls, command_lines, principal_of
from multimood.bus.admin import apply_topics
from multimood.cli.brokers import kafka_of
from multimood.errors import MultimoodError
from multimood.topics import DAY_MS, TOPICS

app = typer.Typer(no_args_is_help=True)


@app.command("apply")
def apply() -> None:
    """Create the topics that are missing on MULTIMOOD_KAFKA_BROKERS; leave the others as they are."""
    try:
        settings = kafka_of()
        created = apply_topics(settings)
    except MultimoodError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    for name in created:
        typer.echo(f"created {name}")
    typer.echo(
        f"{len(created)} created, {2 * len(TOPICS) - len(created)} were there ({settings.partitions} partitions each)"
    )


@app.command("acls")
def acls(
    service: Annotated[
        list[str] | None, typer.Option("--service", help=f"Of these only: {', '.join(NAMES)}. May be repeated.")
    ] = None,
    principal: Annotated[
        str,
        typer.Option(help="Who a service is; {service} is its name with dashes. User:CN={service} for certificates."),
    ] = "User:multimood-{service}",
    apply_them: Annotated[bool, typer.Option("--apply", help="Set them on MULTIMOOD_KAFKA_BROKERS.")] = False,
) -> None:
    """What each service must be allowed on the brokers, and no more: as lines for kafka-acls.sh, or set at once.

    `topics` is `multimood topics apply`; `operator` is who uses dlq, erase, check and escalations. The lines expect the
    administrator's own connection in admin.properties. With --apply come as somebody who has Alter on the cluster;
    nothing is taken away. With Strimzi the KafkaUsers of k8s/ say the same.
    """
    if unknown := set(service or ()) - set(NAMES):
        raise typer.BadParameter(f"no such service: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    try:
        settings = kafka_of()
        wanted = {
            principal_of(principal, name): acls_of(name, settings.group_prefix)
            for name in NAMES
            if not service or name in service
        }
        if apply_them:
            typer.echo(f"{apply_acls(wanted, settings)} set, for {', '.join(wanted)}")
            return
    except MultimoodError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    for who, rights in wanted.items():
        for line in command_lines(who, rights, settings):
            typer.echo(line)


@app.command("ls")
def ls() -> None:
    """List the topics, what they carry and how long it is kept."""
    table = Table("topic", "message", "kept for", "cleanup")
    for topic in TOPICS:
        table.add_row(topic.name, topic.message.DESCRIPTOR.name, f"{topic.retention_ms / DAY_MS:g} d", topic.cleanup)
    Console().print(table)
