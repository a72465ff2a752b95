"""How long media are kept, by consent and retention class. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb

STANDARD: Final = "standard"
PASSING: Final = "passing"
"""The shelf of media without consent: they are needed until they are encoded."""
SWEPT_AFTER_DAYS: Final = 1
"""What an encoder should have removed and could not: no record on Kafka refers to it any more."""
_CLASS: Final = "class="
_ITEM: Final = re.compile(r"([A-Za-z0-9._-]{1,64})=(\d{1,5})")


def class_of(privacy: pb.Privacy) -> str:
    """Its retention class."""
    return privacy.retention_class or STANDARD


def shelf_of(privacy: pb.Privacy) -> str:
    """The part of an object's name that says how long it is kept."""
    return f"{_CLASS}{class_of(privacy)}" if privacy.learning_consent else PASSING


@dataclass(frozen=True, slots=True)
class Retention:
    """Days for which media are kept, by retention class; another class than these is kept as `standard`."""

    days: Mapping[str, int]

    @classmethod
    def parse(cls, text: str) -> "Retention":
        """Read `standard=30,short=0`. Raises ValueError that says what is wrong."""
        found: dict[str, int] = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            match = _ITEM.fullmatch(item)
            if match is None:
                raise ValueError(f"{item!r} is no class with its days: write for instance standard=30,short=0")
            found[match[1]] = int(match[2])
        if STANDARD not in found:
            raise ValueError(f"{text!r} says nothing of the class {STANDARD}: write for instance {STANDARD}=30")
        return cls(MappingProxyType(found))

    def goes_at_once(self, privacy: pb.Privacy) -> bool:
        """Whether media are removed as soon as they are encoded."""
        return not privacy.learning_consent or self._of(class_of(privacy)) == 0

    def days_of(self, shelf: str) -> int:
        """Days after which what lies on a shelf is swept away; what lies on none is kept as `standard`."""
        if shelf == PASSING:
            return SWEPT_AFTER_DAYS
        name = shelf.removeprefix(_CLASS) if shelf.startswith(_CLASS) else STANDARD
        return max(self._of(name), SWEPT_AFTER_DAYS)

    def _of(self, name: str) -> int:
        return self.days.get(name, self.days[STANDARD])
