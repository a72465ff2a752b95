"""A person's rows out of the experience log: every object that has any is written again without them.

Each write is conditional on the object being the one that was read, so nothing that somebody adds meanwhile is lost,
and broken off anywhere it is simply done again. An object without rows stays as an empty table: taking it away could
take a row with it that was just added.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from multimood.errors import NotFoundError, UnavailableError
from multimood.experience.naming import is_feedback
from multimood.experience.reader import Advance
from multimood.experience.schema import Row
from multimood.experience.sources import Source
from multimood.experience.table import DamagedObjectError, batches, without_rows
from multimood.privacy.pseudonyms import Subject
from multimood.store.errors import ChangedObjectError

ATTEMPTS: Final = 20
"""Rounds with a writer who adds rows to the same object."""
_WHOSE: Final = ("tenant", "subject", "conversation_id")


class VersionedPlace(Source, Protocol):
    """A log whose objects can be replaced conditionally."""

    def read_version(self, name: str) -> tuple[bytes, str]:
        """An object and its tag. Raises NotFoundError."""

    def replace(self, name: str, data: bytes, tag: str) -> None:
        """Write it if it is still what was read. Raises ChangedObjectError."""


@dataclass(slots=True)
class Removed:
    """What was taken out."""

    rows: int = 0
    feedback: int = 0
    objects: set[str] = field(default_factory=set)
    damaged: list[str] = field(default_factory=list)
    """Objects that could not be read: whether they hold something nobody can say."""


def conversations_of(source: Source, subject: Subject, advance: Advance | None = None) -> tuple[set[str], int]:
    """The pseudonyms of a person's conversations in the log, and the number of their rows."""
    found: set[str] = set()
    count = 0
    for name in _everything(source, advance):
        if is_feedback(name):
            continue
        for row in _whose(source, name):
            if row["tenant"] == subject.tenant and row.get("subject") == subject.pseudonym:
                found.add(row["conversation_id"])
                count += 1
    return found, count


def erase_rows(
    place: VersionedPlace, subject: Subject, conversations: Collection[str], advance: Advance | None = None
) -> Removed:
    """Take out the person's rows and those of their conversations, feedback first: the rows tell whose it is.

    Everything of a conversation goes, since each of its rows may quote any of its turns. Raises UnavailableError.
    """
    removed = Removed()
    for name in _everything(place, advance):
        try:
            gone = _rewrite(place, name, subject, conversations)
        except DamagedObjectError:
            removed.damaged.append(name)
            continue
        if gone:
            removed.objects.add(name)
            if is_feedback(name):
                removed.feedback += gone
            else:
                removed.rows += gone
    return removed


def _everything(source: Source, advance: Advance | None) -> Iterator[str]:
    """Names of all objects, feedback first; again those that are new, until none is.

    A compaction may put rows that were not looked at yet into another object, and take the first one away.
    """
    seen: set[str] = set()
    while names := sorted(
        {one.name for one in source.objects()} - seen, key=lambda name: (not is_feedback(name), name)
    ):
        total = len(seen) + len(names)
        for name in names:
            yield name
            seen.add(name)
            if advance is not None:
                advance(len(seen), total)


def _rewrite(place: VersionedPlace, name: str, subject: Subject, conversations: Collection[str]) -> int:
    def is_theirs(row: Row) -> bool:
        return row["tenant"] == subject.tenant and (
            row.get("subject") == subject.pseudonym or row["conversation_id"] in conversations
        )

    for _ in range(ATTEMPTS):
        try:
            data, tag = place.read_version(name)
        except NotFoundError:  # compacted at this moment; what was made of it comes later
            return 0
        kept, gone = without_rows(data, _WHOSE, is_theirs)
        if not gone:
            return 0
        try:
            place.replace(name, kept, tag)
        except ChangedObjectError:
            continue
        return gone
    raise UnavailableError(f"{name} is being written all the time: erase again when there is less traffic")


def _whose(source: Source, name: str) -> Iterator[Row]:
    try:
        for batch in batches(source.read(name), _WHOSE):
            yield from batch
    except (NotFoundError, DamagedObjectError):
        return
