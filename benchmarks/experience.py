"""A log of real turns: `python -m benchmarks.experience --turns 1000 --out FOLDER [--json FILE]`.

Starts the whole system and holds conversations with it, in text, two at a time. Afterwards copies the experience bucket
into FOLDER, checks it, and counts what an off-policy learner could use. What the person says is put together by chance
from sentences made up for this; half of the conversations end with a rating.
"""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from benchmarks.harness import arguments, folder, machine
from multimood.cli.talk import hold_turn
from multimood.client import Client, TurnInput
from multimood.errors import MultimoodError
from multimood.experience import Bucket, Folder, rows
from multimood.experience.check import check
from multimood.experience.naming import is_feedback
from multimood.experience.schema import SCHEMA
from multimood.experience.sealing import unsealed
from multimood.experience.table import batches, encode
from multimood.local.stack import Stack

TURNS: Final = 5
"""Of a conversation."""
AT_ONCE: Final = 2
ROWS_WITHIN_S: Final = 60.0
TOKENS: Final = "24"
SUBJECTS: Final = (
    "my work", "the exam", "my sister", "our flat", "the move", "my back", "the baby", "my best friend",
    "the job I did not get", "my father's illness", "the choir", "money",
)  # fmt: skip
OPENERS: Final = (
    "I keep thinking about {}.", "Today was about {} again.", "I do not know what to do about {}.",
    "Nobody asks me about {}.", "It is {} that keeps me awake.", "I wanted to tell somebody about {}.",
)  # fmt: skip
GOING_ON: Final = (
    "It makes me angry, to be honest.", "I feel a little lighter when I say it.", "I am just sad about it.",
    "Maybe I could talk to somebody about {}.", "I am afraid that it gets worse with {}.", "It was better last year.",
    "I laughed about it yesterday, for the first time.", "I do not sleep well because of {}.",
    "I tried to write it down, as I used to.", "Thank you, that helps.",
)  # fmt: skip


def said(rng: random.Random, step: int, subject: str) -> str:
    """What the person says in a turn."""
    return rng.choice(OPENERS if step == 0 else GOING_ON).format(subject)


async def converse(client: Client, number: int, turns: int) -> int:
    """Hold a conversation; gives the number of turns that were answered."""
    rng, name, answered = random.Random(number), f"bench-experience-{number}", 0
    subject = rng.choice(SUBJECTS)
    for step in range(turns):
        turn = TurnInput(name, text=said(rng, step, subject), learning_consent=True)
        try:
            account = await hold_turn(client, turn, None)
            answered += account.reply is not None
            if step == turns - 1 and number % 2:
                await client.send_feedback(name, turn.utterance_id, rating=rng.random(), intensity=rng.random())
        except MultimoodError:
            continue
    return answered


async def hold(system: Stack, count: int, console: Console) -> int:
    """Hold so many turns, in conversations side by side; gives how many were answered."""
    numbers = itertools.count()
    lengths = [min(TURNS, count - at) for at in range(0, count, TURNS)]
    answered = 0
    with Progress(console=console) as bar:
        task = bar.add_task("turns", total=count)

        async def some(client: Client) -> None:
            nonlocal answered
            while (number := next(numbers)) < len(lengths):
                replies = await converse(client, number, lengths[number])
                answered += replies  # not in one line with the await: the other conversations count, too
                bar.advance(task, lengths[number])

        async with Client(system.gateway, system.api_key) as client:
            await asyncio.gather(*(some(client) for _ in range(AT_ONCE)))
    return answered


def fetch(system: Stack, expected: int, out: Path) -> None:
    """Copy the bucket, once the last rows are in it or nothing more comes; what was said is opened, for its keys go."""
    deadline = time.monotonic() + ROWS_WITHIN_S
    with Bucket(system.s3) as bucket:
        opens = bucket.opener(system.endpoints.privacy)
        while sum(1 for _ in rows(bucket)) < expected and time.monotonic() < deadline:
            time.sleep(1)
        for found in bucket.objects():
            path = out / found.name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = bucket.read(found.name)
            if not is_feedback(found.name):
                data = encode(list(unsealed(itertools.chain.from_iterable(batches(data)), opens)), SCHEMA)
            path.write_bytes(data)


def summary(out: Path) -> dict[str, Any]:
    """What is in the log, and whether it is sound."""
    report = check(Folder(out))
    log = list(rows(Folder(out), feedback=True))
    return {
        **report.as_json(),
        "sound": report.is_sound(),
        "conversations": len({row["conversation_id"] for row in log}),
        "with_reward": sum(row["reward"] is not None for row in log),
        "explored": sum(bool(row["explored"]) for row in log),
        "rated": sum(row["rating"] is not None for row in log),
        "unfit": _counts([row["unfit_reason"] for row in log]),
    }


def _counts(values: Sequence[str | None]) -> dict[str, int]:
    return {name: values.count(name) for name in sorted({value for value in values if value is not None})}


def main() -> None:
    """Hold the turns, fetch the log, say what is in it."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--turns", type=int, default=1_000, help="default 1000; --quick: 20")
    parser.add_argument("--out", type=Path, required=True, help="a new folder for the log")
    chosen = parser.parse_args()
    count, console, began = 20 if chosen.quick else chosen.turns, Console(), time.monotonic()
    if chosen.out.exists():
        parser.error(f"{chosen.out} exists: give a new folder")
    with folder() as place, Stack(place / "system", env={"MULTIMOOD_RESPONDER_MAX_TOKENS": TOKENS}) as system:
        answered = asyncio.run(hold(system, count, console))
        fetch(system, count, chosen.out)
    found = {"turns": count, "answered": answered, "seconds": round(time.monotonic() - began), **summary(chosen.out)}
    console.print_json(json.dumps(found))
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": machine(), **found}, indent=1) + "\n")
    if not found["sound"] or found["rows"] < count:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
