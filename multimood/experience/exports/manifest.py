"""What an export was made of: beside it, so that a person can be taken out of it later. Pseudonyms only."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from multimood.errors import NotFoundError
from multimood.experience.exports.wishes import Rows
from multimood.experience.schema import Row
from multimood.privacy.pseudonyms import Subject

MANIFEST: Final = "multimood-export.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which rows of whom were read for an export, whether or not something of each is in it."""

    kind: str
    made_at: str
    rows: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Row ids by person and conversation: `<tenant>/<pseudonym>`, pseudonym. Of rows without a person: `<tenant>/`."""
    gone: bool = False
    """The export was deleted, since a person had to be taken out of it."""

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read an export's. Raises NotFoundError when there is none, or it is none."""
        try:
            return cls(**json.loads((folder / MANIFEST).read_text()))
        except (OSError, ValueError, TypeError):
            raise NotFoundError(f"{folder} has no readable {MANIFEST}: delete it and export again") from None

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        part = folder / f"{MANIFEST}.part"
        part.write_text(json.dumps({name: getattr(self, name) for name in ("kind", "made_at", "rows", "gone")}))
        part.replace(folder / MANIFEST)

    def rows_of(self, subject: Subject, conversations: Collection[str]) -> set[str]:
        """Ids of a person's rows, and of those of their conversations."""
        found: set[str] = set()
        for person, by_conversation in self.rows.items():
            for conversation, ids in by_conversation.items():
                is_theirs = person == subject.name or conversation in conversations
                if is_theirs and person.startswith(f"{subject.tenant}/"):
                    found.update(ids)
        return found

    def without(self, ids: Collection[str], *, gone: bool = False) -> "Manifest":
        """The same without these rows."""
        left = {
            person: kept
            for person, by_conversation in self.rows.items()
            if (kept := {c: rest for c, rows in by_conversation.items() if (rest := [r for r in rows if r not in ids])})
        }
        return replace(self, rows=left, gone=self.gone or gone)


class Noted:
    """Rows on their way into an export, and the manifest of them."""

    def __init__(self, rows: Rows, kind: str) -> None:
        self._rows = rows
        self._kind = kind
        self._seen: dict[str, dict[str, dict[str, None]]] = {}

    def __call__(self) -> Iterator[Row]:
        """Read the log from the beginning."""
        for row in self._rows():
            person = f"{row['tenant']}/{row.get('subject') or ''}"
            self._seen.setdefault(person, {}).setdefault(row["conversation_id"], {})[row["row_id"]] = None
            yield row

    def manifest(self) -> Manifest:
        """Of what was read until now."""
        rows: dict[str, Any] = {p: {c: list(ids) for c, ids in by.items()} for p, by in sorted(self._seen.items())}
        return Manifest(self._kind, datetime.now(UTC).isoformat(timespec="seconds"), rows)
