"""What went wrong, and what to do about it, instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from typer.core import TyperGroup

from multimood.errors import MultimoodError

_NO_FAULT: Final = (BrokenPipeError, InterruptedError)
"""The reader of a pipe has enough, or somebody pressed a key: typer ends the command without a word."""


class Explained(TyperGroup):
    """The whole command line: what no command explains itself ends with exit code 1 and one line on stderr."""

    def invoke(self, ctx: Any) -> Any:
        """See click."""
        with explained():
            return super().invoke(ctx)


@contextmanager
def explained(remedy: str = "") -> Iterator[None]:
    """End the command with exit code 1 and one line on stderr; `remedy` is for a package that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not remedy or (error.name is not None and error.name.partition(".")[0] == "multimood"):
            raise
        _end(f"{error.name} is not installed; {remedy}")
    except ValidationError as error:
        if (settings := _settings_of(error.title)) is None:
            raise  # no setting of the operator's: a bug
        _end("; ".join(_faults(settings, error)))
    except _NO_FAULT:
        raise
    except OSError as error:
        if error.filename is None:
            _end(str(error))
        _end(f"{error.filename} cannot be used ({error.strerror}): name another place, or make it one that can")
    except MultimoodError as error:
        _end(str(error))


def _end(why: str) -> None:
    typer.echo(f"error: {why}", err=True)
    raise typer.Exit(1) from None


def _settings_of(title: str) -> type[BaseSettings] | None:
    found = [BaseSettings]
    for one in found:  # grows while it is walked
        found += one.__subclasses__()
    return next((one for one in found[1:] if one.__name__ == title), None)


def _faults(settings: type[BaseSettings], error: ValidationError) -> Iterator[str]:
    """Without the values: a key may be among them."""
    prefix = settings.model_config.get("env_prefix", "")
    for fault in error.errors(include_input=False, include_url=False):
        name = "_".join(map(str, fault["loc"])).upper()
        yield f"{prefix}{name}".rstrip("_") + f": {fault['msg']}"
