"""`multimood demo`: the whole system from nothing, one conversation with it, and what a researcher gets of that."""

import asyncio
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
from multimood.settings import PrivacySettings, PseudonymSettings, StoreSettings

if TYPE_CHECKING:
    from multimood.experience import Row

OUT: Final = Path("demo")
ROWS_WITHIN_S: Final = 120.0
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
                experience = fetch_experience(system.s3, wanted, out / "experience", privacy=system.endpoints.privacy)
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


def fetch_experience(
    settings: StoreSettings,
    utterances: Collection[str],
    folder: Path,
    *,
    within_s: float = ROWS_WITHIN_S,
    privacy: PrivacySettings | None = None,
) -> Path:
    """Wait until the rows of the utterances are in the store, and write them into one Parquet file; gives its path.

    `utterances`: ids as the platform knows them. `privacy`: the master key that opens what was said, else it stays
    null. Not to be used inside a running event loop. Raises DeadlineExceededError when they do not come.
    """
    from multimood.experience import Bucket, Pseudonyms, rows  # noqa: PLC0415 - slow to import, and only the end needs it
    from multimood.experience.schema import SCHEMA  # noqa: PLC0415
    from multimood.experience.sealing import unsealed  # noqa: PLC0415
    from multimood.experience.table import encode  # noqa: PLC0415

    deadline, pseudonyms = time.monotonic() + within_s, Pseudonyms.of(PseudonymSettings(), settings)

    def is_wanted(row: "Row") -> bool:
        return row["utterance_id"] in {pseudonyms.utterance(row["tenant"], one) for one in utterances}

    with Bucket(settings) as bucket:
        opens = bucket.opener(privacy or PrivacySettings())
        while len(found := [row for row in rows(bucket) if is_wanted(row)]) < len(utterances):
            if time.monotonic() > deadline:
                raise DeadlineExceededError(
                    f"{len(found)} of {len(utterances)} experience rows are in bucket {settings.experience_bucket} "
                    f"after {within_s:g} s"
                )
            time.sleep(0.5)
        found = list(unsealed(found, opens))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found[0]['conversation_id']}.parquet"
    path.write_bytes(encode(found, SCHEMA))
    return path
