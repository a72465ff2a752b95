"""The look-ahead reward for a command that reads the log: the values that a person shows after a reply."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multimood.cli.embedding import served_embedder
from multimood.errors import UnavailableError
from multimood.local.endpoints import Endpoints

if TYPE_CHECKING:
    from multimood.cli.logplace import OpenLog
    from multimood.experience.reader import Advance
    from multimood.trust.ahead import Find, Looking
    from multimood.trust.values import Ahead, ValueDetector

LOOKAHEAD = "lookahead"
"""Name of the reward."""

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

    with log.opener() as opens, _finding(triton, data) as (find, detector):
        found = delayed_rewards(log.rows(advance=advance, opens=opens), find, looking)
    return LookedAhead(found, looking.version(detector))


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
