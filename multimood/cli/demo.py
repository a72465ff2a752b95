"""`multimood demo`: the whole system from nothing, one conversation with it, and what a researcher gets of that."""

import asyncio
import io
import json
import secrets
import time
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from multimood.cli.account import TurnAccount
from multimood.cli.show import TurnScreen
from multimood.cli.talk import Door, hold_turn
from multimood.client import TurnInput
from multimood.errors import DeadlineExceededError, MultimoodError
from multimood.local.endpoints import Endpoints
from multimood.local.samples import face_clip, speech
from multimood.local.stack import Stack
from multimood.settings import StoreSettings
from multimood.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

OUT: Final = Path("demo")
ROWS_WITHIN_S: Final = 120.0
LARGEST_FILE: Final = 256 << 20
SAID: Final = (
    "I lost my job on Friday, and I still have not told anybody at home.",
    "Every morning I get dressed and leave as if nothing had happened. I feel like a fraud.",
    "Maybe I could tell my sister first. She has always been on my side.",
)
PROVENANCE: Final = (
    "The voice is synthetic (espeak-ng). The face is a public-domain photograph of Grace Hopper, from matplotlib, "
    "slowly magnified: nobody moves in it. The words were made up for this demonstration."
)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for media, the system's state and the experience.")] = OUT,
) -> None:
    """Start everything, hold a conversation of three turns in text, sound and film, fetch its experience rows, stop."""
    console, began = Console(), time.monotonic()
    accounts: list[TurnAccount] = []
    experience: Path | None = None
    try:
        console.print(f"[dim]{PROVENANCE}[/]\n")
        turns = _turns(out / "media")
        with ExitStack() as ending:
            with console.status("starting broker, store, Triton and the nine services"):
                system = ending.enter_context(Stack(out / "system"))
            console.print(f"[dim]ready after {time.monotonic() - began:.0f} s[/]")
            asyncio.run(_converse(system.endpoints, turns, accounts, console))
            with console.status("waiting for the experience rows on S3"):
                wanted = [account.utterance_id for account in accounts]
                experience = asyncio.run(fetch_experience(system.s3, wanted, out / "experience"))
            console.print("\n[dim]stopping[/]")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except MultimoodError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
    replies = sum(account.reply is not None for account in accounts)
    summary = {
        "replies": replies,
        "experience": str(experience) if experience else None,
        "seconds": round(time.monotonic() - began, 1),
    }
    typer.echo(json.dumps(summary))
    if replies < len(SAID) or experience is None:
        raise typer.Exit(1)


def _turns(folder: Path) -> list[TurnInput]:
    """Make the media: a turn with everything, one that is only spoken, one that is written before the camera."""
    conversation = f"demo-{secrets.token_hex(4)}"
    voices = [speech(said, folder / f"{number}.wav") for number, said in enumerate(SAID, 1)]
    films = {number: face_clip(voices[number], folder / f"{number + 1}.mp4").read_bytes() for number in (0, 2)}
    sounds = {number: voices[number].read_bytes() for number in (0, 1)}
    return [
        TurnInput(
            conversation,
            text=said if number != 1 else "",
            audio=sounds.get(number, b""),
            video=films.get(number, b""),
            learning_consent=True,
        )
        for number, said in enumerate(SAID)
    ]


async def _converse(
    endpoints: Endpoints, turns: list[TurnInput], accounts: list[TurnAccount], console: Console
) -> None:
    """Hold the turns one after another; the accounts so far are kept when one fails."""
    async with Door(endpoints.gateway, endpoints.api_key).open() as client:
        for number, turn in enumerate(turns):
            given = ", ".join(TurnAccount.of(turn).announced)
            console.print(f"\n[bold]{number + 1}[/] [dim]({given})[/] {SAID[number]}", highlight=False)
            accounts.append(await hold_turn(client, turn, TurnScreen(console)))


async def fetch_experience(
    settings: StoreSettings, utterances: Collection[str], folder: Path, *, within_s: float = ROWS_WITHIN_S
) -> Path:
    """Wait until the rows of the utterances are in the store, and write them into one Parquet file; gives its path.

    Raises DeadlineExceededError when they do not come.
    """
    bucket, store = settings.experience_bucket, Store(settings)
    found: dict[str, pa.Table] = {}
    deadline = time.monotonic() + within_s
    try:
        while True:
            for item in await store.list(bucket, most=10_000):
                if item.key.endswith(".parquet") and item.key not in found:
                    data = await store.read(bucket, item.key, limit=LARGEST_FILE)
                    found[item.key] = await asyncio.to_thread(_rows_of, data, utterances)
            rows = [table for table in found.values() if table.num_rows]
            there = {str(value) for table in rows for value in table.column("utterance_id").to_pylist()}
            if there >= set(utterances):
                return await asyncio.to_thread(_write, rows, folder)
            if time.monotonic() > deadline:
                raise DeadlineExceededError(
                    f"{len(there)} of {len(utterances)} experience rows are in bucket {bucket} after {within_s:g} s"
                )
            await asyncio.sleep(0.5)
    finally:
        await store.close()


def _rows_of(data: bytes, utterances: Collection[str]) -> "pa.Table":
    import pyarrow.compute as pc  # noqa: PLC0415 - slow to import, and only the end of the demo needs it
    import pyarrow.parquet as pq  # noqa: PLC0415

    table = pq.read_table(io.BytesIO(data))
    return table.filter(pc.is_in(table.column("utterance_id"), value_set=_strings(utterances)))


def _strings(values: Collection[str]) -> "pa.Array":
    import pyarrow as pa  # noqa: PLC0415

    return pa.array(sorted(values), pa.string())


def _write(rows: "list[pa.Table]", folder: Path) -> Path:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    table = pa.concat_tables(rows, promote_options="default")
    conversation = table.column("conversation_id")[0].as_py() if "conversation_id" in table.column_names else "demo"
    path = folder / f"{conversation}.parquet"
    pq.write_table(table, path)
    return path
