"""`multimood eval`: how good the served models are on labelled corpora, one command a corpus."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from multimood.cli.bars import counting
from multimood.cli.explained import explained
from multimood.cli.written import place
from multimood.evaluation.corpora import corpora

if TYPE_CHECKING:
    from multimood.evaluation.result import Result
    from multimood.evaluation.rows import Corpus

app = typer.Typer(no_args_is_help=True)

REMEDY = "evaluation needs its own packages: pip install 'multimood[eval]' (in a checkout: make setup)"
WIDTH = 150

DataOption = Annotated[Path, typer.Option("--data", help="The corpus' file or folder, see above.", show_default=False)]
SplitOption = Annotated[str, typer.Option("--split", help="Rows of this split; `all` for every one.")]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the results there, too, for programs.", callback=place)
]
PictureOption = Annotated[
    Path | None,
    typer.Option("--picture", help="Draw confusion matrices and reliability curves there (PNG).", callback=place),
]
TritonOption = Annotated[
    str | None,
    typer.Option("--triton", help="host:port of a running Triton; else MULTIMOOD_TRITON_URL, else one is started."),
]
RepliesOption = Annotated[
    int, typer.Option("--replies", min=0, help="Generate and score so many replies (dialogues only; seconds each).")
]


def command(corpus: "Corpus") -> Callable[..., None]:
    """The command that measures a corpus."""

    def measure(  # noqa: PLR0917 - typer makes options of them
        data: DataOption,
        split: SplitOption = "test",
        json_file: JsonOption = None,
        picture: PictureOption = None,
        triton: TritonOption = None,
        replies: RepliesOption = 0,
    ) -> None:
        with explained(REMEDY):
            result = run(corpus, data, split, triton, replies)
            finish(result, json_file, picture)

    return measure


def run(corpus: "Corpus", data: Path, split: str, triton: str | None, replies: int) -> "Result":
    """Evaluate, with a bar on stderr."""
    from multimood.evaluation.run import evaluate  # noqa: PLC0415 - see REMEDY
    from multimood.evaluation.source import Source  # noqa: PLC0415 - see REMEDY

    with bars() as progress:
        return evaluate(corpus, Source(data, split), progress, url=triton, replies=replies)


def finish(result: "Result", json_file: Path | None, picture: Path | None) -> None:
    """Print, and write what was asked for. A file that cannot be written does not lose the results."""
    from multimood.evaluation.report import show, to_json  # noqa: PLC0415 - see REMEDY

    console = Console()
    show(result, console if console.is_terminal else Console(width=WIDTH))
    try:
        if json_file is not None:
            json_file.write_text(to_json(result) + "\n", encoding="utf-8")
        if picture is not None:
            from multimood.evaluation.picture import draw  # noqa: PLC0415 - see REMEDY

            draw(result, picture)
    except OSError as error:
        typer.echo(f"error: {error.filename} cannot be written ({error.strerror}): name another place", err=True)
        raise typer.Exit(1) from None


class Bars:
    """Bars of stages."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def begin(self, what: str, total: int) -> Callable[[], None]:
        """A new bar; call what is given back for each of `total`."""
        task = self._progress.add_task(what, total=total)
        return lambda: self._progress.advance(task)


@contextmanager
def bars() -> Iterator[Bars]:
    """Bars on stderr."""
    with counting(wide=24) as progress:
        yield Bars(progress)


for _corpus in corpora().values():
    _help = f"{_corpus.about}\n\nPATH: {_corpus.takes}." + (f"\n\n{_corpus.note}" if _corpus.note else "")
    app.command(_corpus.name, help=_help)(command(_corpus))
    if _corpus.name == "epitome":  # by what it measures, too
        app.command("empathy", help=_help)(command(_corpus))
