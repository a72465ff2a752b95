"""What went wrong, and what to do about it, instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from multimood.errors import MultimoodError


@contextmanager
def explained(remedy: str = "") -> Iterator[None]:
    """End the command with exit code 1 and one line on stderr; `remedy` is for a package that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not remedy or (error.name is not None and error.name.partition(".")[0] == "multimood"):
            raise
        typer.echo(f"error: {error.name} is not installed; {remedy}", err=True)
        raise typer.Exit(1) from None
    except (MultimoodError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
