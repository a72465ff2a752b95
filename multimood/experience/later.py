"""What became known of a turn after it was logged: feedback of the platform, and the person's next turn.

A row of the log is never changed by what comes later, so this is joined when the log is read, within a window that
begins with the reply: as loggers of contextual bandits do it (Agarwal et al. 2016, "Making Contextual Decisions with
Low Technical Debt"), what has not come when the window is over has its default value.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from multimood.experience.record import us_of
from multimood.experience.schema import Row
from multimood.experience.sources import Source
from multimood.experience.table import batches

Status = Literal["pending", "observed", "defaulted"]

WINDOW: Final = timedelta(hours=24)
_TURN: Final = (
    "tenant", "conversation_id", "row_id", "step", "intensity", "user_emotion",
    "occurred_at", "decided_at", "replied_at",
)  # fmt: skip
_Utterance = tuple[str, str, str]
_Turn = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long feedback is waited for, and what stands for it then."""

    window: timedelta = WINDOW
    rating: float | None = None
    """What a rating that did not come counts as, 0..1; None: it stays null."""
    intensity: float | None = None
    """The same of the intensity that the person reports."""


@dataclass(frozen=True, slots=True)
class _Next:
    """What the person's next turn says."""

    at_us: int
    intensity: float | None
    emotion: str | None


@dataclass(frozen=True, slots=True)
class Later:
    """Everything that came later, by what it is about."""

    waiting: Waiting
    now_us: int
    given: Mapping[_Utterance, Sequence[Row]] = field(default_factory=dict)
    turns: Mapping[_Turn, _Next] = field(default_factory=dict)

    @classmethod
    def of(
        cls, source: Source, feedback: Iterable[str], names: Iterable[str], waiting: Waiting, now: datetime | None
    ) -> "Later":
        """Read it from the objects of the two tables. Raises NotFoundError when one is gone."""
        now_us = us_of(now or datetime.now(UTC))
        return cls(waiting, now_us, _given(source, feedback), dict(_turns(source, names)))

    def of_row(self, row: Row) -> Row:
        """The further columns of a row.

        feedback: what was said within the window, oldest first. feedback_status: `observed` when there is any,
        `pending` while the window lasts, `defaulted` when it is over. rating, intensity_after: the last that was given,
        else the default when the window is over. next_intensity, next_emotion: as the next logged turn of the
        conversation was perceived, if it came within the window.
        """
        begins = us_of(row["replied_at"]) or us_of(row["decided_at"]) or us_of(row["occurred_at"])
        ends = begins + self.waiting.window // timedelta(microseconds=1)
        given = [one for one in self.given.get(_utterance(row), ()) if us_of(one["given_at"]) <= ends]
        is_over = self.now_us > ends
        status: Status = "observed" if given else "defaulted" if is_over else "pending"
        step = row["step"]
        after = self.turns.get((row["tenant"], row["conversation_id"], step + 1)) if step is not None else None
        if after is not None and after.at_us > ends:
            after = None
        return {
            "feedback": given,
            "feedback_status": status,
            "rating": _last(given, "rating", self.waiting.rating if is_over else None),
            "intensity_after": _last(given, "intensity", self.waiting.intensity if is_over else None),
            "next_intensity": after.intensity if after is not None else None,
            "next_emotion": after.emotion if after is not None else None,
        }


COLUMNS: Final = ("feedback", "feedback_status", "rating", "intensity_after", "next_intensity", "next_emotion")
"""Of `Later.of_row`."""


def _last(given: Sequence[Row], name: str, default: float | None) -> float | None:
    return next((one[name] for one in reversed(given) if one[name] is not None), default)


def _given(source: Source, names: Iterable[str]) -> dict[_Utterance, list[Row]]:
    unique: dict[str, Row] = {}
    for name in names:
        for row in _read(source, name, None):
            unique[row["feedback_id"]] = row
    given: dict[_Utterance, list[Row]] = {}
    for row in sorted(unique.values(), key=lambda row: (us_of(row["given_at"]), row["feedback_id"])):
        given.setdefault(_utterance(row), []).append(row)
    return given


def _turns(source: Source, names: Iterable[str]) -> Iterator[tuple[_Turn, _Next]]:
    for name in names:
        for row in _read(source, name, _TURN):
            if row.get("step") is None:
                continue
            emotion = max(row["user_emotion"] or (), key=lambda item: item["p"], default=None)
            at_us = us_of(row["occurred_at"]) or us_of(row["decided_at"])
            label = emotion["label"] if emotion is not None else None
            # An intensity beside no emotion is the zero of a message in which nothing was perceived.
            intensity = row["intensity"] if label is not None else None
            yield (row["tenant"], row["conversation_id"], row["step"]), _Next(at_us, intensity, label)


def _read(source: Source, name: str, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    for batch in batches(source.read(name), columns):
        yield from batch


def _utterance(row: Mapping[str, Any]) -> _Utterance:
    return row["tenant"], row["conversation_id"], row["utterance_id"]
