"""Files of a corpus: found, checked, filtered by split. What cannot be used is counted, never shown."""

import csv
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from multimood.errors import ConfigurationError, NotFoundError

ALL: Final = "all"
_SAME_AS: Final = {"valid": "val", "validation": "val", "dev": "val", "training": "train", "testing": "test"}
_UP: Final = 4
"""Folders above the annotation file in which its media may lie."""

_NAME: Final = re.compile(r"\w{1,40}")
R = TypeVar("R")


class Source:
    """What `--data` and `--split` name.

    `notes` counts what was left out, by a short reason without content; `files` are those that were read.
    """

    def __init__(self, path: Path, split: str = "test") -> None:
        """Raise NotFoundError when there is nothing at `path`."""
        if not path.exists():
            raise NotFoundError(f"--data {path} is not there: give the corpus' file, or the folder that holds it")
        self.path = path
        self.split = split
        self.notes: Counter[str] = Counter()
        self.files: list[Path] = []
        self._found_media = 0
        self._missing_media: list[Path] = []

    @property
    def sha256(self) -> str:
        """SHA-256 over the annotation files, in the order they were read."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def note(self, what: str, count: int = 1) -> None:
        """Count something that the reader of the scores must know."""
        self.notes[what] += count

    def file(self, *names: str) -> Path:
        """The file itself, or the first of `names` (relative paths) below the folder that was given.

        Raises:
            NotFoundError: there is none.
        """
        if self.path.is_file():
            return self.path
        for name in names:
            if (self.path / name).is_file():
                return self.path / name
        raise NotFoundError(f"--data {self.path} holds none of {', '.join(names)}: give that file or its folder")

    def table(
        self, file: Path, required: Sequence[str], also_called: Mapping[str, Sequence[str]] | None = None
    ) -> list[dict[str, str]]:
        """Rows of a CSV file, every value a string ("" where there is none).

        `also_called` gives further names of columns, in any case, for files of several makers.

        Raises:
            ConfigurationError: it has not the required columns, or is no text.
        """
        self.files.append(file)
        csv.field_size_limit(sys.maxsize)
        rows = []
        try:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                reader = csv.DictReader(lines)
                reader.fieldnames = _known_names(reader.fieldnames or (), also_called or {})
                _check_columns(file, reader.fieldnames, required, also_called or {})
                for row in reader:
                    if any(row.get(name) is None for name in required):
                        self.note("corrupt rows left out")
                        continue
                    rows.append({name: value or "" for name, value in row.items() if isinstance(name, str)})
        except (UnicodeDecodeError, csv.Error) as error:
            raise ConfigurationError(
                f"{file} is no CSV file in UTF-8 ({type(error).__name__}): save it as CSV with commas, in UTF-8"
            ) from None
        return rows

    def objects(self, file: Path) -> list[dict[str, Any]]:
        """Objects of a file with one JSON object a line; lines that hold none are counted.

        Raises:
            ConfigurationError: not a single line holds one.
        """
        self.files.append(file)
        found: list[dict[str, Any]] = []
        for line in file.read_bytes().splitlines():
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if isinstance(value, dict):
                found.append(value)
            else:
                self.note("corrupt rows left out")
        if not found:
            raise ConfigurationError(f"{file} holds no JSON objects, one a line")
        return found

    def chosen(self, rows: Iterable[R], split_of: Callable[[R], Any]) -> list[R]:
        """Those of the wanted split; all of them where no row names one, and for `all`.

        Raises:
            NotFoundError: the file has other splits only.
        """
        named = [(_plain(split_of(row)), row) for row in rows]
        there = Counter(name for name, _ in named if name)
        wanted = _plain(self.split)
        if wanted == ALL or not there:
            return [row for _, row in named]
        if wanted not in there:
            have = ", ".join(f"{name} ({count})" for name, count in sorted(there.items()))
            raise NotFoundError(f"--data {self.path} has no rows of split {self.split!r}: it has {have}; or `all`")
        return [row for name, row in named if name == wanted]

    def media(self, beside: Path, recorded: str) -> Path:
        """The file that an annotation file at `beside` calls `recorded`, a path below some folder above it."""
        parts = Path(recorded).parts
        # The whole path before its ends: a corpus' folder may have been put elsewhere.
        tails = [Path(*parts[start:]) for start in range(len(parts))]
        for path in (folder / tail for tail in tails for folder in beside.parents[: _UP + 1]):
            if path.is_file():
                self._found_media += 1
                return path
        self._missing_media.append(beside.parent / recorded)
        return beside.parent / recorded

    def check_media(self) -> None:
        """Raise NotFoundError when none of the files was there: then it is the folder that is wrong."""
        if self._missing_media and not self._found_media:
            raise NotFoundError(
                f"none of the {len(self._missing_media)} media files is there, the first would be "
                f"{self._missing_media[0]}: put the annotation file beside them as its paths say"
            )


def _known_names(there: Sequence[str], also_called: Mapping[str, Sequence[str]]) -> list[str]:
    names = {other.lower(): name for name, others in also_called.items() for other in (name, *others)}
    found = [names.get(name.strip().lower(), name) for name in there]
    # A file that has the column under two names keeps the one that is called as it should be.
    return [name if found.count(name) == 1 else own for name, own in zip(found, there, strict=True)]


def _check_columns(
    file: Path, there: Sequence[str], required: Sequence[str], also_called: Mapping[str, Sequence[str]]
) -> None:
    """Name columns that can be none but names: the first line of some other file may be what somebody said."""
    if missing := [name for name in required if name not in there]:
        wanted = [" or ".join((name, *also_called.get(name, ()))) for name in missing]
        named = [name for name in there if _NAME.fullmatch(name)]
        raise ConfigurationError(f"{file} has no column {', '.join(wanted)}: it has {', '.join(named) or 'none'}")


def _plain(split: Any) -> str:
    name = split.strip().lower() if isinstance(split, str) else ""
    return _SAME_AS.get(name, name)


def label_in(source: Source, labels: Sequence[str], value: Any, what: str) -> str | None:
    """The label as the taxonomy spells it, or None, counted, when it is none of them."""
    if value is None or value == "":
        return None
    plain = value.strip().lower() if isinstance(value, str) else ""
    if plain in labels:
        return plain
    source.note(f"{what} without a counterpart, not scored")
    return None


def truth_of(**labels: str | float | None) -> dict[str, str | float]:
    """What is known."""
    return {name: label for name, label in labels.items() if label is not None}
