"""Files that a command writes for programs."""

import json
import os
from pathlib import Path
from typing import Any, Final

import typer

STDOUT: Final = "-"


def place(file: Path | None) -> Path | None:
    """What can be written later; for an option's `callback`, so that it is said before the work, not after it."""
    if file is not None and str(file) != STDOUT:
        folder = file.absolute().parent
        if not folder.is_dir():
            _fail(file, f"{folder} is no folder")
        if file.is_dir():
            _fail(file, "it is a folder")
        if not os.access(file if file.exists() else folder, os.W_OK):
            _fail(file, "it is not allowed")
    return file


def write(file: Path | None, found: Any) -> None:
    """Write figures as JSON; one that cannot be written does not lose what was printed."""
    if file is None:
        return
    try:
        file.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        _fail(file, str(error.strerror))


def _fail(file: Path, why: str) -> None:
    typer.echo(f"error: {file} cannot be written ({why}): name another place", err=True)
    raise typer.Exit(1)
