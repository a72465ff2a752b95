"""Names of the log's objects: a pure function of a record's place on Kafka. Pure.

`experience/v2/date=YYYY-MM-DD/reply-<partition>-<window>.parquet`: a window is 256 consecutive offsets of a partition,
so a row always goes into the same object, and writing it again after a crash changes nothing. The date is that of the
timestamp inside the reply's record, in UTC. It must be something that a replay finds unchanged, which leaves out the
time of writing; that no platform can choose, which leaves out `occurred_at`; and that is there even if the decision
never comes, which leaves out the decision's time. A window over midnight has an object on each day.

A decision whose reply does not come in time goes into `decision-<partition>-<window>.parquet`, named in the same way by
its own record. If the reply comes after all, a reader finds the two halves by their row id.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from multimood.experience.record import Origin
from multimood.experience.schema import READABLE, VERSION

WINDOW: Final = 256
"""Part of the names, so no setting: another size would be another version of the log."""
EXPERIENCE: Final = f"experience/v{VERSION}/"
FEEDBACK: Final = f"feedback/v{VERSION}/"
PREFIXES: Final = tuple(f"{table}/v{version}/" for table in ("experience", "feedback") for version in READABLE)
"""Of everything that a reader knows how to read."""
_TABLE: Final = re.compile(r"(?:^|/)(experience|feedback)/v(\d+)/")
_LATEST_MS: Final = 253_402_300_799_999
_DATE: Final = re.compile(r"(?:^|/)date=(\d{4}-\d{2}-\d{2})/")


@dataclass(frozen=True, slots=True)
class Naming:
    """A table's prefix, and the topic whose offsets name the objects."""

    prefix: str
    stem: str

    def key(self, origin: Origin) -> str:
        """The object that the row of a record belongs to."""
        day = datetime.fromtimestamp(min(max(origin.timestamp_ms, 0), _LATEST_MS) / 1000, UTC).date()
        window = origin.offset // WINDOW
        return f"{self.prefix}date={day.isoformat()}/{self.stem}-{origin.partition}-{window}.parquet"


REPLIES: Final = Naming(EXPERIENCE, "reply")
DECISIONS: Final = Naming(EXPERIENCE, "decision")
RATINGS: Final = Naming(FEEDBACK, "feedback")


def day_of(key: str) -> date | None:
    """The day in an object's name; None when it has none (a file that somebody made of the log)."""
    found = _DATE.search(key)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def is_feedback(name: str) -> bool:
    """Tell whether an object belongs to the feedback's table, of any version."""
    found = _TABLE.search(name.replace("\\", "/"))
    return found is not None and found[1] == "feedback"


def of_this_version(key: str) -> str:
    """The same object under this version's prefix: what an older version named is written by this one as its own."""
    return _TABLE.sub(lambda found: found[0].replace(f"/v{found[2]}/", f"/v{VERSION}/"), key, count=1)


def version_of(key: str) -> int | None:
    """The version of the table that an object belongs to; None when its name says none."""
    found = _TABLE.search(key.replace("\\", "/"))
    return int(found[2]) if found is not None else None
