"""How long work is shown: on the error stream, so that a pipe gets the result and nothing else."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def counting(*, wide: int = 0, transient: bool = False) -> Progress:
    """Bars that count; descriptions stand in a column of `wide` characters, and a transient one leaves nothing."""
    columns = (TextColumn(f"{{task.description:{wide}}}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=transient)
