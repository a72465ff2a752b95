"""`multimood eval crisis`: how well people at risk are found."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from multimood.cli.evaluate import REMEDY, WIDTH, JsonOption, SplitOption, bars
from multimood.cli.explained import explained
from multimood.cli.written import write


def crisis(  # noqa: PLR0917 - typer makes options of them
    data: Annotated[Path, typer.Option("--data", help="CSV file, see above.", show_default=False)],
    split: SplitOption = "test",
    json_file: JsonOption = None,
    rules: Annotated[Path | None, typer.Option("--rules", help="Your own crisis rules (TOML).")] = None,
    weights: Annotated[Path | None, typer.Option("--weights", help="Your own classifier (`train crisis`).")] = None,
    person: Annotated[Path | None, typer.Option("--person", help="Your own judge (`train person`).")] = None,
) -> None:
    """How well people at risk of suicide are found, by the code that serves; no server is needed.

    DATA: a CSV file, one person a row: `Post` or `posts_json` (a list of what they wrote, as Python or JSON writes
    it), `Label` (supportive, indicator, ideation, behavior, attempt) or `risk` (the same as 0 to 4), and `split` where
    there are several. So C-SSRS as it is published (User, Post, Label) will do.

    The clinicians' labels are of people, so the figures are, too: each is judged after all their posts, and counts as
    at risk from Ideation on. Beside that: any post of theirs alone, everybody flagged, and the majority's label.
    Nothing that was written is shown.
    """
    with explained(REMEDY):
        from multimood.evaluation.crisis.judged import Judges  # noqa: PLC0415 - see REMEDY
        from multimood.evaluation.crisis.report import show  # noqa: PLC0415 - see REMEDY
        from multimood.evaluation.crisis.run import evaluate  # noqa: PLC0415 - see REMEDY
        from multimood.evaluation.source import Source  # noqa: PLC0415 - see REMEDY

        with bars() as progress:
            found = evaluate(Judges.load(rules, weights, person), Source(data, split), progress)
        console = Console()
        show(found, console if console.is_terminal else Console(width=WIDTH))
        write(json_file, found)
