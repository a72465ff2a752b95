"""What an erasure found and did, place by place. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Place = Literal["keys", "topics", "media", "log", "exports", "audit"]
PLACES: Final[tuple[Place, ...]] = ("keys", "topics", "media", "log", "exports", "audit")
"""The last is the record of the erasure itself, whose own outcome is not in it."""


@dataclass(slots=True)
class Outcome:
    """One place. It is done when there is no fault and nothing is left."""

    found: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    """What is still there, and by when it goes or what to do about it."""
    notes: list[str] = field(default_factory=list)
    fault: str = ""
    """Why the place could not be reached or finished."""

    @property
    def done(self) -> bool:
        """Nothing of the person is readable there any more."""
        return not self.fault and not self.left


@dataclass(slots=True)
class Report:
    """An erasure as it is kept: pseudonyms and counts, no id of the platform and no word."""

    tenant: str
    subject: str
    """Pseudonym."""
    by: str
    erased_at_us: int
    conversations: list[str] = field(default_factory=list)
    """Pseudonyms, so that it can be done again when the rows that told them are gone."""
    places: dict[Place, Outcome] = field(default_factory=dict)
    finished_at_us: int = 0
    dry_run: bool = False

    @property
    def reached(self) -> bool:
        """Every place answered, whatever is left there."""
        return not any(place.fault for place in self.places.values())

    @property
    def complete(self) -> bool:
        """Every place was reached and is done."""
        return all(name in self.places and self.places[name].done for name in PLACES if name != "audit")

    @property
    def finished(self) -> bool:
        """It is complete, and its record is kept."""
        return self.complete and self.places.get("audit", Outcome()).done

    def as_json(self) -> dict[str, Any]:
        """For the audit record and for programs."""
        return {**asdict(self), "complete": self.complete}

    @classmethod
    def conversations_of(cls, stored: Mapping[str, Any]) -> list[str]:
        """The conversations in an earlier record."""
        return [str(one) for one in stored.get("conversations", ())]
