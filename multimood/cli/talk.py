"""`multimood talk`: one turn with the system, or a whole conversation."""

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console

from multimood.cli.account import TurnAccount
from multimood.cli.show import TurnScreen
from multimood.client import Client, Tls, TurnInput
from multimood.errors import MultimoodError
from multimood.local.endpoints import Endpoints

DATA: Final = Path(".data")
INTERRUPTED: Final = 130
TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where the gateway is and how to get in."""

    address: str
    api_key: str
    tls: Tls | None = None

    @classmethod
    def find(cls, data: Path, address: str = "", api_key: str = "", tls: Tls | None = None) -> "Door":
        """Take what is given, and the rest from the system that runs in the data folder. Raises UnavailableError."""
        if address and api_key:
            return cls(address, api_key, tls)
        local = Endpoints.of(data)
        return cls(address or local.gateway, api_key or local.api_key, tls)

    def open(self) -> Client:
        """Make a client; to be used within one event loop."""
        return Client(self.address, self.api_key, tls=self.tls)


async def hold_turn(client: Client, turn: TurnInput, screen: TurnScreen | None) -> TurnAccount:
    """Send a turn, show its parts as they come, and give the account of it. Raises what the client raises."""
    account, started = TurnAccount.of(turn), time.monotonic()
    async for response in client.converse(turn, wait_for_trust=True, timeout_s=TIMEOUT_S):
        part = account.take(response, (time.monotonic() - started) * 1000)
        if screen is not None:
            screen.part(account, part)
    if screen is not None:
        screen.end(account)
    return account


def talk(  # noqa: PLR0917 - each is an option
    text: Annotated[str | None, typer.Option("--text", help="What the person says.")] = None,
    audio: Annotated[
        Path | None, typer.Option("--audio", help="A sound file of it.", exists=True, dir_okay=False, readable=True)
    ] = None,
    video: Annotated[
        Path | None, typer.Option("--video", help="A film of it.", exists=True, dir_okay=False, readable=True)
    ] = None,
    conversation: Annotated[str, typer.Option("--conversation", help="Id of the conversation to go on with.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per turn, for programs.")] = False,
    consent: Annotated[bool, typer.Option("--consent", help="Allow the turn into the experience log.")] = False,
    subject: Annotated[
        str, typer.Option("--subject", help="Who speaks: the name by which `multimood erase` finds the person's data.")
    ] = "",
    address: Annotated[str, typer.Option("--address", envvar="MULTIMOOD_ADDRESS", help="host:port of a gateway.")] = "",
    api_key: Annotated[str, typer.Option("--api-key", envvar="MULTIMOOD_API_KEY", help="Its API key.")] = "",
    tls: Annotated[bool, typer.Option("--tls", help="Talk TLS.")] = False,
    authority: Annotated[
        Path | None, typer.Option("--ca", help="TLS, checked by this PEM file.", exists=True, dir_okay=False)
    ] = None,
    data: Annotated[Path, typer.Option("--data", help="Folder of the local system to talk to.")] = DATA,
) -> None:
    """Say something and see what the system perceives, decides and answers. Without input: a conversation."""
    conversation = conversation or f"talk-{secrets.token_hex(4)}"
    one_turn = text is not None or audio is not None or video is not None
    if one_turn and not ((text or "").strip() or audio or video):
        _fail("--text is blank: say something, or give --audio or --video", code=2)
    try:
        door = Door.find(data, address, api_key, Tls(authority) if tls or authority else None)
        turns = (
            iter([_turn(conversation, text or "", audio, video, consent=consent, subject=subject)])
            if one_turn
            else (
                TurnInput(conversation, text=line, learning_consent=consent, subject=subject)
                for line in _lines(conversation, as_json)
            )
        )
        replied = _converse(door, turns, as_json=as_json, forgiving=not one_turn)
    except KeyboardInterrupt:
        typer.echo("", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except MultimoodError as error:
        _fail(str(error))
    if one_turn and not replied:
        raise typer.Exit(1)


def _converse(door: Door, turns: Iterator[TurnInput], *, as_json: bool, forgiving: bool) -> int:
    """Hold the turns one after another; gives how many were replied to.

    Raises MultimoodError when the gateway cannot be reached, and when a turn fails unless `forgiving`.
    """
    console, replies = Console(), 0
    with asyncio.Runner() as runner:
        client = runner.run(_connected(door))
        try:
            for turn in turns:
                try:
                    account = runner.run(hold_turn(client, turn, None if as_json else TurnScreen(console)))
                except MultimoodError as error:
                    if not forgiving:
                        raise
                    typer.secho(f"error: {error}", fg="red", err=True)
                    continue
                replies += account.reply is not None
                if as_json:
                    _print_json(account)
        finally:
            runner.run(client.close())
    return replies


async def _connected(door: Door) -> Client:
    client = door.open()
    try:
        await client.connect()
    except MultimoodError:
        await client.close()
        raise
    return client


def _print_json(account: TurnAccount) -> None:
    typer.echo(json.dumps(account.as_json(), ensure_ascii=False))
    if account.rejected is not None:
        typer.echo(f"rejected by {account.rejected.stage}: {account.rejected.reason}", err=True)


def _turn(
    conversation: str, text: str, audio: Path | None, video: Path | None, *, consent: bool, subject: str
) -> TurnInput:
    contents = []
    for option, path in (("--audio", audio), ("--video", video)):
        data = path.read_bytes() if path else b""
        if path and not data:
            _fail(f"{option} {path} is an empty file", code=2)
        contents.append(data)
    return TurnInput(
        conversation, text=text, audio=contents[0], video=contents[1], learning_consent=consent, subject=subject
    )


def _lines(conversation: str, as_json: bool) -> Iterator[str]:
    """Give what is typed, line by line, until the end of the input."""
    interactive = sys.stdin.isatty() and not as_json
    if interactive:
        typer.echo(f"conversation {conversation}; Ctrl-D ends it")
    while True:
        try:
            line = input("\nyou       " if interactive else "")
        except EOFError:
            if interactive:
                typer.echo("")
            return
        if line.strip():
            yield line


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.secho(f"error: {message}", fg="red", err=True)
    raise typer.Exit(code)
