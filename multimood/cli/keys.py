"""`multimood keys`: who may talk to the gateway (it takes up changes within a second), and under what data lie."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from multimood.apikeys import add_key, read_keys, revoke_keys
from multimood.errors import ConfigurationError, MultimoodError, UnavailableError
from multimood.privacy.keyring import Keyring
from multimood.privacy.keys import MasterKeys
from multimood.settings import StoreSettings
from multimood.store import Store

if TYPE_CHECKING:
    from multimood.experience.reader import Advance

DEFAULT: Final = Path(".data/gateway/keys.json")
MOST_KEYS: Final = 10_000_000

app = typer.Typer(no_args_is_help=True, help="API keys of the gateway, kept as hashes in a file; persons' keys.")

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


@app.command("rewrap")
def rewrap(data: Annotated[Path, typer.Option("--data", help="Folder of the local system.")] = Path(".data")) -> None:
    """Put every person's key under the present MULTIMOOD_MASTER_KEY; those before it: MULTIMOOD_MASTER_KEYS_FORMER.

    For a new master key: give every service the new one and the former, rewrap, then take the former away. What was
    sealed stays as it is. It can be broken off and run again, while services work. Exit code 1 when a key could not be
    rewrapped: the former master key must stay until all are.
    """
    from multimood.cli.logplace import at_work, privacy_of, store_of  # noqa: PLC0415 - as the rest here needs no store

    try:
        s3, privacy = store_of(data), privacy_of(data)
        master = MasterKeys.of(privacy)
        if master is None:
            raise ConfigurationError("MULTIMOOD_MASTER_KEY is not set: give the one that the services have")
        with at_work("rewrapping") as advance:
            found = asyncio.run(_rewrapped(s3, master, advance))
    except MultimoodError as error:
        _fail(error)
    typer.echo(f"{found.done} keys are wrapped by master key {master.name} now, {found.before} were before")
    for name, fault in found.faults.items():
        typer.echo(f"error: {name}: {fault}", err=True)
    if found.faults:
        raise typer.Exit(1)


@dataclass(slots=True)
class _Rewrapped:
    done: int = 0
    before: int = 0
    faults: dict[str, MultimoodError] = field(default_factory=dict)
    """By the name of the key."""


async def _rewrapped(s3: StoreSettings, master: MasterKeys, advance: "Advance") -> _Rewrapped:
    """One after the other; a key that cannot be rewrapped keeps none of the others from it."""
    store, found = Store(s3, deadline_s=300), _Rewrapped()
    try:
        keyring = Keyring(store, s3.keys_bucket, master)
        names = [one.key for one in await store.list(s3.keys_bucket, most=MOST_KEYS)]
        for number, name in enumerate(names, 1):
            try:
                changed = await keyring.rewrap(name)
            except UnavailableError:
                raise  # the store is away, for the others too
            except MultimoodError as error:
                found.faults[name] = error
            else:
                found.done, found.before = found.done + changed, found.before + (not changed)
            advance(number, len(names))
        return found
    finally:
        await store.close()


def _fail(error: MultimoodError) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1) from None
