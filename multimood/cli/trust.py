"""`multimood trust`: the trust score's judges, side by side."""

import asyncio
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from multimood.cli.embedding import served_embedder
from multimood.cli.evaluate import WIDTH, bars
from multimood.cli.explained import explained
from multimood.errors import ConfigurationError

if TYPE_CHECKING:
    from multimood.trust.agreement import Correlation
    from multimood.trust.case import Embed
    from multimood.trust.panel import Panel, Rater
    from multimood.trust.replies import Judged

app = typer.Typer(no_args_is_help=True)

REMEDY: Final = "a panel needs the packages of evaluation: pip install 'multimood[eval]' (in a checkout: make setup)"
KEY_VARIABLE: Final = "MULTIMOOD_JUDGE_KEY"
_LLM: Final = re.compile(r"llm:(https?://[^/:]+(?::\d+)?(?:/[^:]*)?):(.+)")


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
    triton: Annotated[
        str | None,
        typer.Option("--triton", help="host:port of a running Triton; else MULTIMOOD_TRITON_URL, else one is started."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything there, for programs.")] = None,
) -> None:  # fmt: skip
    """Ask several judges about the same replies: their scores, how far they agree, what they are biased by.

    Lines of a file of your own, of which all but the reply may be missing:

    {"dialogue": [{"role": "user", "text": "..."}], "reply": "...", "model": "writer", "reference": "...", "id": "1"}

    Lines with the same dialogue are compared in pairs, in both orders; with `local`, replies are compared with their
    references, too. The key of an llm's endpoint is read from MULTIMOOD_JUDGE_KEY. The judge that trains must not be
    the only one that grades.

    Example: --data replies.jsonl --judge rules --judge local --judge llm:http://127.0.0.1:8080/v1:qwen2-7b
    """
    with explained(REMEDY):
        from multimood.trust.panel import as_json  # noqa: PLC0415 - see REMEDY
        from multimood.trust.replies import read_replies  # noqa: PLC0415 - see REMEDY

        names = list(dict.fromkeys(judges or ["rules"]))
        _check(names)
        read = read_replies(data, most)
        found, raters = _run(read.found, names, triton, kept, pairs)
        console = Console()
        _show(found, raters, console if console.is_terminal else Console(width=WIDTH))
        for reason, count in read.left_out.items():
            typer.echo(f"left out: {reason}: {count}")
        if json_file is not None:
            content = json.dumps(as_json(found, raters, read.left_out), indent=1, allow_nan=False)
            json_file.write_text(content + "\n", encoding="utf-8")


def _check(names: Sequence[str]) -> None:
    for name in names:
        if name not in {"rules", "local"} and not _LLM.fullmatch(name):
            raise ConfigurationError(f"--judge {name}: wanted rules, local, or llm:URL:MODEL with http:// or https://")


def _run(
    replies: "Sequence[Judged]", names: Sequence[str], triton: str | None, kept: Path | None, pairs: int
) -> "tuple[Panel, list[Rater]]":
    from multimood.trust.panel import compare_with_references, convene, pairs_of  # noqa: PLC0415 - see REMEDY
    from multimood.trust.similarity import SimilarityScorer  # noqa: PLC0415

    async def run(url: str) -> "tuple[Panel, list[Rater]]":
        async with AsyncExitStack() as stack:
            embed = served_embedder(url, stack) if url else None
            raters = [await _rater(name, embed, kept, stack) for name in names]
            compared = min(pairs, len(pairs_of(replies))) * sum(rater.pairs is not None for rater in raters)
            with bars() as progress:
                tick = progress.begin("judging", len(replies) * len(raters) + compared)
                found = await convene(replies, raters, tick, pairs)
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


async def _rater(name: str, embed: "Embed | None", kept: Path | None, stack: AsyncExitStack) -> "Rater":
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

    match = _LLM.fullmatch(name)
    assert match is not None
    address, model = match.groups()
    client = await stack.enter_async_context(endpoint(address, os.environ.get(KEY_VARIABLE, "")))
    judge, pair = LLMJudge(client, model, Rubric.load(), kept=KeptScores(kept)), PairJudge(client, model)
    return Rater(name, [judge], model, pair, [judge.spending, pair.spending])


def _show(panel: "Panel", raters: "Sequence[Rater]", console: Console) -> None:
    console.print(_scores(panel))
    console.print(_agreement(panel))
    if panel.similarity:
        known = {part: given[given == given] for part, given in panel.similarity.items()}  # noqa: PLR0124 - as below
        means = ", ".join(f"{part} {given.mean():.2f}" for part, given in known.items())
        console.print(f"similarity to {len(known['total'])} references: {means}")
    for rater in raters:
        if failures := panel.failures[rater.name]:
            console.print(f"{rater.name}: not available for {dict(failures)}")
        if checked := panel.position.get(rater.name):
            console.print(
                f"position, {rater.name}: of {checked.pairs} pairs {_number(checked.turned)} turned with the order, "
                f"{_number(checked.first)} of the verdicts for the first (0.5: none favoured)"
            )
        elif rater.pairs is not None:
            console.print(f"position, {rater.name}: not checked, there are no two replies to one dialogue")
        if own := panel.self_preference.get(rater.name):
            console.print(
                f"self-preference, {rater.name}: {own.own} own replies, {own.others} others, gap {_number(own.gap)}; "
                f"by the other judges {_number(own.gap_of_others)}"
            )
        tokens = sum(one.prompt_tokens + one.completion_tokens for one in rater.spending)
        if rater.spending:
            asked, kept = (sum(getattr(one, name) for one in rater.spending) for name in ("asked", "kept"))
            console.print(f"spent, {rater.name}: {asked} answers, {kept} kept from before, {tokens} tokens")


def _scores(panel: "Panel") -> Table:
    table = Table(title=f"{len(panel.ids)} replies", title_justify="left", box=None, pad_edge=False)
    for name in ("judge", "criterion"):
        table.add_column(name)
    for name in ("scored", "mean", "sd", "Spearman with length", "p"):
        table.add_column(name, justify="right")
    for rater, scores in panel.scores.items():
        for criterion, given in scores.items():
            known = given[given == given]  # noqa: PLR0124 - NaN is not itself
            found = panel.length[rater][criterion]
            table.add_row(
                rater, criterion, str(len(known)), f"{known.mean():.2f}", f"{known.std():.2f}", *_correlated(found)
            )
    return table


def _agreement(panel: "Panel") -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("criterion", "judges", "replies", "Krippendorff's alpha", "95 %", "Spearman, pairs of judges"):
        table.add_column(name)
    for criterion, found in panel.agreement.items():
        ends = "-" if found.interval is None else f"{found.interval[0]:.2f}..{found.interval[1]:.2f}"
        pairs = ", ".join(f"{names} {_number(one.spearman)}" for names, one in found.pairs.items())
        table.add_row(criterion, str(found.judges), str(found.replies), _number(found.alpha), ends, pairs or "-")
    return table


def _correlated(found: "Correlation") -> tuple[str, str]:
    return _number(found.spearman), "-" if found.p is None else f"{found.p:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
