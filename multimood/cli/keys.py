"""`multimood keys`: who may talk to the gateway. A running gateway takes up changes within a second."""

from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from multimood.apikeys import add_key, read_keys, revoke_keys
from multimood.errors import MultimoodError

DEFAULT: Final = Path(".data/gateway/keys.json")

app = typer.Typer(no_args_is_help=True, help="API keys of the gateway, kept as hashes in a file.")

FileOption = Annotated[
    Path, typer.Option("--file", envvar="MULTIMOOD_GATEWAY_KEYS", help="The gateway's keys file.", dir_okay=False)
]
TenantOption = Annotated[str, typer.Option("--tenant", help="Whose conversations the key opens.")]


@app.command("add")
def add(tenant: TenantOption, file: FileOption = DEFAULT) -> None:
    """Make a key and print it. It is shown this once; the file has only its hash."""
    try:
        typer.echo(add_key(file, tenant))
    except MultimoodError as error:
        _fail(error)


@app.command("ls")
def ls(file: FileOption = DEFAULT) -> None:
    """List the keys: id, tenant and age, never the key."""
    try:
        entries = read_keys(file)
    except MultimoodError as error:
        _fail(error)
    table = Table("id", "tenant", "created")
    for entry in sorted(entries, key=lambda entry: (entry.tenant, entry.created_at)):
        table.add_row(entry.id, entry.tenant, entry.created_at)
    Console().print(table if entries else f"no keys in {file}: `multimood keys add --tenant NAME` makes one")


@app.command("revoke")
def revoke(
    file: FileOption = DEFAULT,
    tenant: TenantOption = "",
    key_id: Annotated[str, typer.Option("--id", help="One key by its id instead of all of a tenant.")] = "",
) -> None:
    """Remove one key, or all keys of a tenant."""
    if bool(tenant) == bool(key_id):
        typer.echo("error: name either --tenant or --id", err=True)
        raise typer.Exit(2)
    try:
        gone = revoke_keys(file, tenant=tenant, key_id=key_id)
    except MultimoodError as error:
        _fail(error)
    for entry in gone:
        typer.echo(f"revoked {entry.id} of {entry.tenant}")


def _fail(error: MultimoodError) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1) from None
