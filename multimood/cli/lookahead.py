"""The look-ahead reward for a command that reads the log: the values that a person shows after a reply."""

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from multimood.cli.embedding import served_embedder
from multimood.cli.explained import explained
from multimood.cli.logplace import DATA, DataOption, LogArgument, LogOption, at_work, open_log
from multimood.errors import UnavailableError
from multimood.local.endpoints import Endpoints

if TYPE_CHECKING:
    from multimood.cli.logplace import OpenLog
    from multimood.experience.reader import Advance
    from multimood.trust.ahead import Find, Looking
    from multimood.trust.values import Ahead, ValueDetector

LOOKAHEAD: Final = "lookahead"
"""Name of the reward."""
REMEDY: Final = (
    "judging values needs the packages of evaluation: pip install 'multimood[eval]' (in a checkout: make setup)"
)

TritonOption = Annotated[
    str | None,
    typer.Option(
        "--triton",
        help="lookahead: host:port of a Triton with the text encoder; else MULTIMOOD_TRITON_URL, else that of the "
        "local system, else one is started.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class LookedAhead:
    """What a log's turns earned by what came after them."""

    found: "dict[str, Ahead | None]"
    """By row id; None: nobody can say."""
    version: str


def looked_ahead(
    log: "OpenLog", looking: "Looking", triton: str | None, data: Path, *, advance: "Advance | None" = None
) -> LookedAhead:
    """Read the log once, opening what was said, and judge it. Raises what the log and the encoder raise."""
    from multimood.trust.ahead import delayed_rewards  # noqa: PLC0415 - slow to import

    with explained(REMEDY), log.opener() as opens, _finding(triton, data) as (find, detector):
        found = delayed_rewards(log.rows(advance=advance, opens=opens), find, looking)
    return LookedAhead(found, looking.version(detector))


def values(  # noqa: PLR0917 - each is an option
    log: LogArgument = "",
    folder: LogOption = "",
    data: DataOption = DATA,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write each row's id and reward there, one JSON object a line.")
    ] = None,
    gamma: Annotated[
        float | None, typer.Option("--gamma", min=0, max=1, help="What a value counts a turn later. Default: 0.9.")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option("--horizon", min=1, help="Turns behind the reply that count. Default: 3.")
    ] = None,
    targets: Annotated[
        list[str] | None, typer.Option("--of", help="A value that counts; repeatable. Default: all twenty.")
    ] = None,
    triton: TritonOption = None,
) -> None:
    """Compute the look-ahead reward of every turn: how many values the person shows in their next turns (ES-VR).

    Opens what was said, in memory only; of the values nothing is written, only how many follow a reply. A reward is
    null where a turn behind it cannot be judged: it is not in the log, or its words are sealed, erased or not there.
    The same reward is `export --reward lookahead` and `multimood ope --reward lookahead`, with the defaults of here.
    Prints one line of JSON: how many turns, how many could be judged, the mean, and the version of all of it. The
    detector is zero-shot and rough (docs/trust.md): compare means over many dialogues.
    """
    from multimood.trust.ahead import Looking, summary_of  # noqa: PLC0415 - slow to import
    from multimood.trust.values import VALUES  # noqa: PLC0415

    if unknown := sorted(set(targets or ()) - set(VALUES)):
        raise typer.BadParameter(f"{unknown[0]!r} is no value; there are {', '.join(VALUES)}", param_hint="--of")
    usual = Looking()
    looking = Looking(
        usual.gamma if gamma is None else gamma,
        usual.horizon if horizon is None else horizon,
        frozenset(targets) if targets else None,
    )
    with open_log(log or folder, data) as found, at_work("looking ahead") as advance:
        ahead = looked_ahead(found, looking, triton, data, advance=advance)
    if out is not None:
        with explained(), out.open("w", encoding="utf-8") as lines:
            for row_id, one in ahead.found.items():
                told = {"lookahead": one.reward, "complete": one.complete} if one else {"lookahead": None}
                lines.write(json.dumps({"row_id": row_id, **told}) + "\n")
    typer.echo(json.dumps(summary_of(ahead.found) | {"version": ahead.version}))


@contextmanager
def _finding(triton: str | None, data: Path) -> "Iterator[tuple[Find, str]]":
    from multimood.evaluation.served import URL_VARIABLE, server  # noqa: PLC0415 - needs the packages of evaluation
    from multimood.trust.values import ValueDetector  # noqa: PLC0415

    url = triton or os.environ.get(URL_VARIABLE) or _local(data)
    with server(url, {"text_encoder"}) as (address, _), asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def opened() -> "ValueDetector":
            return ValueDetector.load(served_embedder(address, stack))

        try:
            detector = runner.run(opened())

            def find(texts: Sequence[str]) -> Sequence[frozenset[str]]:
                return runner.run(detector.find(texts))

            yield find, detector.version
        finally:
            runner.run(stack.aclose())


def _local(data: Path) -> str | None:
    try:
        return Endpoints.of(data).triton_url
    except UnavailableError:
        return None
