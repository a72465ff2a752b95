"""A person out of an export, whose manifest says whose rows are in it. What was made of it elsewhere nobody knows."""

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from multimood.errors import NotFoundError
from multimood.experience.exports.manifest import MANIFEST, Manifest
from multimood.experience.table import types_of, without_rows
from multimood.privacy.pseudonyms import Subject

REWRITTEN: Final = frozenset({"hf", "trl-kto", "trl-dpo"})
"""Forms of one row a line, which is taken out. Of the others nothing may be left out without making them anew."""
_IDS: Final = ("row_id", "row_id_chosen", "row_id_rejected")


@dataclass(frozen=True, slots=True)
class FromExport:
    """What was done to one."""

    items: int = 0
    """Lines that were taken out."""
    deleted: bool = False
    """It had to go as a whole: make it again."""


def rows_in_export(folder: Path, subject: Subject, conversations: Collection[str]) -> set[str]:
    """Ids of the person's rows in it. Raises NotFoundError when the folder has no manifest."""
    return Manifest.read(folder).rows_of(subject, conversations)


def erase_from_export(folder: Path, subject: Subject, conversations: Collection[str]) -> FromExport:
    """Take the person out. Broken off, it can be done again: the manifest forgets them last.

    Raises NotFoundError when the folder has no manifest, DamagedObjectError when a file of it cannot be read.
    """
    manifest = Manifest.read(folder)
    ids = manifest.rows_of(subject, conversations)
    if not ids:
        return FromExport()
    if manifest.kind not in REWRITTEN:
        _empty(folder)
        manifest.without(ids, gone=True).write(folder)
        return FromExport(len(ids), deleted=True)
    items = sum(_rewrite(file, ids) for file in sorted((folder / "data").glob("*.parquet")))
    manifest.without(ids).write(folder)
    return FromExport(items)


def _rewrite(file: Path, ids: Collection[str]) -> int:
    data = file.read_bytes()
    there = types_of(data)
    columns = [name for name in _IDS if name in there]

    def is_theirs(row: dict[str, Any]) -> bool:
        return any(row[name] in ids for name in columns)

    kept, gone = without_rows(data, columns, is_theirs)
    if gone:
        part = file.with_name(f"{file.name}.part")
        with part.open("wb") as out:
            out.write(kept)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    return gone


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == MANIFEST:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def exports_below(folder: Path) -> list[Path]:
    """The exports in a folder: itself, or those below it. Raises NotFoundError when there is none."""
    if not folder.is_dir():
        raise NotFoundError(f"{folder} is no folder: name the folder of an export, or one that has exports below it")
    found = sorted(file.parent for file in folder.rglob(MANIFEST))
    if not found:
        raise NotFoundError(
            f"{folder} has no {MANIFEST}: it is no export, or one of an older version. Delete it and export again"
        )
    return found
