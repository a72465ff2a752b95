"""`multimood trust`: the trust score's judges, side by side."""

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from multimood.cli.embedding import served_embedder
from multimood.cli.evaluate import WIDTH, JsonOption, TritonOption, bars
from multimood.cli.explained import explained
from multimood.cli.panel_shown import show
from multimood.cli.written import write
from multimood.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from multimood.trust.case import Embed
    from multimood.trust.panel import Panel, Rater
    from multimood.trust.replies import Judged
    from multimood.trust.spending import Prices

app = typer.Typer(no_args_is_help=True)

REMEDY: Final = "a panel needs the packages of evaluation: pip install 'multimood[eval]' (in a checkout: make setup)"
KEY_VARIABLE: Final = "MULTIMOOD_JUDGE_KEY"
LLM: Final = re.compile(r"llm:(https?://(?:\[[0-9A-Fa-f:.]+\]|[^/:\[\]]+)(?::\d+)?(?:/[^:]*)?):(.+)")


@app.callback()
def trust() -> None:
    """The judges behind the trust score."""


@app.command("panel")
def panel(  # noqa: PLR0917 - typer makes options of them
    data: Annotated[
        Path, typer.Option("--data", help="JSON lines, or the experience log's folder or file.", show_default=False)
    ],
    judges: Annotated[
        list[str] | None,
        typer.Option("--judge", help="`rules`, `local` (learned, through Triton), or `llm:URL:MODEL`; several times."),
    ] = None,
    most: Annotated[int | None, typer.Option("--most", min=1, help="Judge the first so many replies only.")] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=0, help="So many pairs are compared, by each llm.")] = 50,
    kept: Annotated[Path | None, typer.Option("--keep", help="SQLite file that keeps what an llm said before.")] = None,
    within: Annotated[float, typer.Option("--within", min=0.1, help="Seconds that an llm has for an answer.")] = 60.0,
    at_once: Annotated[int, typer.Option("--at-once", min=1, max=256, help="Replies asked about at once.")] = 8,
    price_prompt: Annotated[float, typer.Option("--price-prompt", min=0, help="Of a million tokens to an llm.")] = 0.0,
    price_completion: Annotated[
        float, typer.Option("--price-completion", min=0, help="Of a million tokens by an llm.")
    ] = 0.0,
    triton: TritonOption = None,
    json_file: JsonOption = None,
) -> None:  # fmt: skip
    """Ask several judges about the same replies: their scores, how far they agree, what they are biased by.

    Lines of a file of your own, of which all but the reply may be missing:

    {"dialogue": [{"role": "user", "text": "..."}], "reply": "...", "model": "writer", "reference": "...", "id": "1"}

    Lines with the same dialogue are compared in pairs, in both orders; with `local`, replies are compared with their
    references, too. The key of an llm's endpoint is read from MULTIMOOD_JUDGE_KEY. The judge that trains must not be
    the only one that grades. A small server answers one after the other: then ask --at-once 1, or give it longer.
    A judge that gave not one score is a fault: the rest is shown and written, and the exit code is 1.

    Example: --data replies.jsonl --judge rules --judge local --judge llm:http://127.0.0.1:8080/v1:qwen2-7b
    """
    with explained(REMEDY):
        from multimood.trust.panel import as_json  # noqa: PLC0415 - see REMEDY
        from multimood.trust.replies import read_replies  # noqa: PLC0415 - see REMEDY
        from multimood.trust.spending import Prices  # noqa: PLC0415 - see REMEDY

        names = list(dict.fromkeys(judges or ["rules"]))
        _check(names)
        read = read_replies(data, most)
        prices = Prices(price_prompt, price_completion)
        found, raters = _run(read.found, names, triton, Terms(kept, pairs, at_once, within, prices))
        # Names of judges are whatever somebody calls a model, and no markup.
        console = Console(markup=False, emoji=False, width=None if Console().is_terminal else WIDTH)
        show(found, raters, console)
        for reason, count in read.left_out.items():
            typer.echo(f"left out: {reason}: {count}")
        write(json_file, as_json(found, raters, read.left_out))
        if silent := [rater.name for rater in raters if not found.scores[rater.name]]:
            why = "; ".join(f"{name}: {found.reasons.get(name, 'no criterion of its own')}" for name in silent)
            raise UnavailableError(f"not one score by {why}")


@dataclass(frozen=True, slots=True)
class Terms:
    """How it is asked."""

    kept: Path | None
    pairs: int
    at_once: int
    within_s: float
    prices: "Prices"


def _check(names: Sequence[str]) -> None:
    for name in names:
        if name not in {"rules", "local"} and not LLM.fullmatch(name):
            raise ConfigurationError(f"--judge {name}: wanted rules, local, or llm:URL:MODEL with http:// or https://")


def _run(
    replies: "Sequence[Judged]", names: Sequence[str], triton: str | None, terms: Terms
) -> "tuple[Panel, list[Rater]]":
    from multimood.trust.panel import compare_with_references, convene, pairs_of  # noqa: PLC0415 - see REMEDY
    from multimood.trust.similarity import SimilarityScorer  # noqa: PLC0415

    async def run(url: str) -> "tuple[Panel, list[Rater]]":
        async with AsyncExitStack() as stack:
            embed = served_embedder(url, stack) if url else None
            raters = [await _rater(name, embed, terms, stack) for name in names]
            compared = min(terms.pairs, len(pairs_of(replies))) * sum(rater.pairs is not None for rater in raters)
            with bars() as progress:
                tick = progress.begin("judging", len(replies) * len(raters) + compared)
                found = await convene(replies, raters, tick, terms.pairs, terms.at_once)
            references = [reply.reference for reply in replies if reply.reference]
            if embed is not None and references:
                await compare_with_references(found, replies, SimilarityScorer(embed, references))
            return found, raters

    with ExitStack() as stack:
        url = stack.enter_context(_triton(triton)) if "local" in names else ""
        return asyncio.run(run(url))


@contextmanager
def _triton(url: str | None) -> Iterator[str]:
    from multimood.evaluation.served import server  # noqa: PLC0415 - see REMEDY

    with server(url, {"text_encoder"}) as (address, _):
        yield address


async def _rater(name: str, embed: "Embed | None", terms: Terms, stack: AsyncExitStack) -> "Rater":
    from multimood.trust.panel import Rater  # noqa: PLC0415 - see REMEDY

    if name == "rules":
        from multimood.trust.judges import rule_judges  # noqa: PLC0415

        return Rater(name, rule_judges())
    if name == "local":
        from multimood.trust.judges import learned_judges  # noqa: PLC0415

        assert embed is not None
        return Rater(name, learned_judges(embed))
    from multimood.generation.openai import endpoint  # noqa: PLC0415 - needs httpx
    from multimood.trust.kept import KeptScores  # noqa: PLC0415
    from multimood.trust.llm import LLMJudge, Rubric  # noqa: PLC0415
    from multimood.trust.pairwise import PairJudge  # noqa: PLC0415

    match = LLM.fullmatch(name)
    assert match is not None
    address, model = match.groups()
    client = await stack.enter_async_context(endpoint(address, os.environ.get(KEY_VARIABLE, "")))
    asking: dict[str, Any] = {"kept": KeptScores(terms.kept), "timeout_s": terms.within_s, "prices": terms.prices}
    judge, pair = LLMJudge(client, model, Rubric.load(), **asking), PairJudge(client, model, **asking)
    return Rater(name, [judge], model, pair, [judge.spending, pair.spending])
