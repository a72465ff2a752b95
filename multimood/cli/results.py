"""`multimood results`: docs/results.md from the files of what was measured."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from multimood.cli.explained import explained
from multimood.errors import ConfigurationError
from multimood.evaluation.corpora import corpora
from multimood.local.places import checkout
from multimood.models import manifest

RUNS: Final = Path("docs/runs")
OUT: Final = Path("docs/results.md")
YOURS: Final = "rows"
"""The corpus that is whatever its file holds."""

RunsOption = Annotated[
    Path | None,
    typer.Option("--runs", help=f"Folder of what was measured; {RUNS} of the checkout.", show_default=False),
]
OutOption = Annotated[Path | None, typer.Option("--out", help=f"The page; {OUT} of the checkout.", show_default=False)]
CheckOption = Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if the page would change.")]
TakeOption = Annotated[
    Path | None,
    typer.Option("--take", help="First take the finished trainings below this folder, such as .tools/runs."),
]


def results(
    runs: RunsOption = None, out: OutOption = None, check: CheckOption = False, take: TakeOption = None
) -> None:
    """Write docs/results.md: goals, every corpus with baselines, intervals and masks, trainings, latency and memory.

    From files alone: what `multimood eval --json`, `multimood train` and `python -m benchmarks.models --json` wrote,
    and two lists by hand (goals.toml, tried.toml). `make results DATA=folder` measures first.
    """
    if check and take is not None:
        raise typer.BadParameter("--check writes nothing and --take does: give one of them")
    with explained():
        folder, target = runs or checkout() / RUNS, out or checkout() / OUT
        if take is not None:
            _take(take, folder)
        text = _page(folder, target)
        if check:
            _check(target, text)
        else:
            target.write_text(text, encoding="utf-8")
        typer.echo(f"{target} is {'as' if check else 'now'} what {folder} gives")


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


def _check(target: Path, text: str) -> None:
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        raise ConfigurationError(f"{target} is not what its files give: run `multimood results` and commit it")
