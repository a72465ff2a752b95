"""`multimood results`: docs/results.md from the files of what was measured."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from multimood.cli.evaluate import REMEDY, finish, run
from multimood.cli.explained import explained
from multimood.errors import ConfigurationError, MultimoodError, NotFoundError, UnavailableError
from multimood.evaluation.corpora import corpora
from multimood.local.places import checkout
from multimood.models import manifest

RUNS: Final = Path("docs/runs")
OUT: Final = Path("docs/results.md")
YOURS: Final = "rows"
"""The corpus that is whatever its file holds."""

RunsOption = Annotated[
    Path | None,
    typer.Option("--runs", help=f"What was measured; {RUNS} of the checkout.", show_default=False),
]
OutOption = Annotated[Path | None, typer.Option("--out", help=f"The page; {OUT} of the checkout.", show_default=False)]
CheckOption = Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if the page would change.")]
TakeOption = Annotated[
    Path | None,
    typer.Option("--take", help="First take the finished trainings below it, such as .tools/runs."),
]
MeasureOption = Annotated[
    Path | None, typer.Option("--measure", help="First measure the served models on every corpus below this folder.")
]
SplitOption = Annotated[str, typer.Option("--split", help="What to measure on, as in `multimood eval`.")]


def results(  # noqa: PLR0917 - typer makes options of them
    runs: RunsOption = None,
    out: OutOption = None,
    check: CheckOption = False,
    take: TakeOption = None,
    measure: MeasureOption = None,
    split: SplitOption = "val",
) -> None:
    """Write docs/results.md: goals, every corpus with baselines, intervals and masks, trainings, latency and memory.

    From files alone: what `multimood eval --json`, `multimood train` and `python -m benchmarks.models --json` wrote,
    and two lists by hand (goals.toml, tried.toml).
    """
    if check and (take or measure):
        raise typer.BadParameter("--check writes nothing, --take and --measure do: leave it out, or them")
    with explained(REMEDY):
        folder, target = runs or checkout() / RUNS, out or checkout() / OUT
        if take is not None:
            _take(take, folder)
        failed = [] if measure is None else _measure(measure, split, folder)
        text = _page(folder, target)
        if check:
            _check(target, text)
        else:
            target.write_text(text, encoding="utf-8")
        typer.echo(f"{target} is what {folder} gives")
        if failed:
            raise UnavailableError(f"not measured, see above: {', '.join(failed)}; what was known of them stays")


def _page(folder: Path, target: Path) -> str:
    from multimood.evaluation.results import Links, Shipped, page, read  # noqa: PLC0415 - this command alone needs it

    known = [name for name in corpora() if name != YOURS]
    links = Links(*(Path(os.path.relpath(place, target.parent)).as_posix() for place in (checkout(), folder)))
    return page(read(folder), Shipped(manifest()), known, links)


def _take(source: Path, folder: Path) -> None:
    from multimood.evaluation.results import take  # noqa: PLC0415 - this command alone needs it

    taken = take(source, folder)
    typer.echo(f"taken: {', '.join(taken.finished) or 'none'}")
    if taken.running:
        typer.echo(f"left, for they have not ended: {', '.join(taken.running)}", err=True)


def _measure(data: Path, split: str, folder: Path) -> list[str]:
    """Measure what is there, one corpus after another; gives the names of those that failed."""
    failed, absent = [], []
    known = [corpus for name, corpus in corpora().items() if name != YOURS]
    target = folder / "eval"
    target.mkdir(parents=True, exist_ok=True)
    for corpus in known:
        typer.echo(f"==> {corpus.name}")
        try:
            finish(run(corpus, data, split, None, 0), target / f"{corpus.name}.json", None)
        except NotFoundError as error:
            typer.echo(f"left as it was: {error}", err=True)
            absent.append(corpus.name)
        except MultimoodError as error:
            typer.echo(f"error: {error}", err=True)
            failed.append(corpus.name)
    if len(absent) == len(known):
        raise NotFoundError(f"--measure {data} holds no corpus with a part {split!r}: give the folder of text/, audio/")
    return failed


def _check(target: Path, text: str) -> None:
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        raise ConfigurationError(f"{target} is not what its files give: run `multimood results` and commit it")
