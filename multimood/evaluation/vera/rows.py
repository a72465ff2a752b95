"""Tab-separated files with a head line, as VERA-MH publishes its personas and rubric."""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from multimood import assets
from multimood.errors import ConfigurationError


def rows_of(name: str, path: Path | None, required: Sequence[str]) -> list[dict[str, str]]:
    """Rows of the operator's file or of the shipped one called `name`; every value a stripped string.

    Raises:
        ConfigurationError: the file cannot be read, is no text, or lacks a column.
    """
    raw, place = assets.read(name, path), path or name
    csv.field_size_limit(sys.maxsize)
    try:
        reader = csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline=""), delimiter="\t")
        there = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = there
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{place} is no tab-separated file in UTF-8 ({type(error).__name__})") from None
    if missing := [column for column in required if column not in there]:
        raise ConfigurationError(f"{place} has no column {', '.join(missing)}: the first line must name the columns")
    return [{column: (row[column] or "").strip() for column in there} for row in rows]
