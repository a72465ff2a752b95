"""Replies to be judged, with their dialogues: from the experience log or from a file of one's own."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from multimood.errors import ConfigurationError, NotFoundError
from multimood.trust.case import Role, TrustCase, Turn

SUFFIX: Final = ".parquet"
JSON_LINES: Final = frozenset({".jsonl", ".ndjson", ".json"})


class TurnLine(BaseModel):
    """A turn of a dialogue in a file of one's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    text: str


class ReplyLine(BaseModel):
    """A line of a file of one's own. Only the reply must be there."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    reply: str = Field(min_length=1)
    dialogue: tuple[TurnLine, ...] = ()
    id: str = ""
    model: str = ""
    reference: str = ""
    user_emotion: str | None = None
    strategy: str | None = None
    locale: str = "en"


@dataclass(frozen=True, slots=True)
class Judged:
    """A reply that is to be judged."""

    id: str
    case: TrustCase
    writer: str
    """The model that wrote it; empty: not known, or none did."""
    reference: str = ""
    """What somebody else answered; empty: not known."""


@dataclass(slots=True)
class Replies:
    """What was read, and how much was left out, by reason."""

    found: list[Judged] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def read_replies(path: Path, most: int | None = None) -> Replies:
    """Read JSON lines, or the Parquet files of the experience log (a folder, or one file); `most` of them at most.

    Raises:
        NotFoundError: there is nothing at `path`.
        ConfigurationError: there is no reply in it.
        DamagedObjectError: a Parquet file is no table of the log.
    """
    if not path.exists():
        raise NotFoundError(f"{path} is not there: give JSON lines, or the experience log's folder or file")
    result = Replies()
    if path.is_file() and path.suffix.lower() not in {*JSON_LINES, SUFFIX}:
        endings = ", ".join(sorted(JSON_LINES))
        raise ConfigurationError(f"{path} must be JSON lines ({endings}) or the log's Parquet ({SUFFIX}), and named so")
    lines = _of_lines(path, result) if path.suffix.lower() in JSON_LINES else _of_log(path, result)
    result.found.extend(islice(lines, most))
    if not result.found:
        why = ", ".join(f"{reason}: {count}" for reason, count in result.left_out.items()) or "it is empty"
        raise ConfigurationError(f"{path} holds no reply to judge ({why})")
    return result


def _of_lines(path: Path, result: Replies) -> Iterator[Judged]:
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(_objects(path, lines), 1):
            try:
                content = ReplyLine.model_validate(json.loads(line) if isinstance(line, str) else line)
            except (ValueError, ValidationError, RecursionError):
                result.left_out["lines that hold no reply"] += 1
                continue
            turns = tuple(Turn(turn.role, turn.text) for turn in content.dialogue)
            case = TrustCase(turns, content.reply, content.user_emotion, content.strategy, content.locale)
            yield Judged(content.id or str(number), case, content.model, content.reference)


def _objects(path: Path, lines: Iterable[str]) -> Iterator[Any]:
    """Lines that are not empty; or what is in the one array that a file may be instead."""
    said = (line for line in lines if line.strip())
    first = next(said, "")
    if first.lstrip().startswith("["):
        try:
            yield from json.loads("".join((first, *said)))
        except (ValueError, RecursionError):
            raise ConfigurationError(f"{path} begins with [ but is no JSON array: give an object a line") from None
    elif first:
        yield first
        yield from said


def _of_log(path: Path, result: Replies) -> Iterator[Judged]:
    from multimood.experience import Folder, rows  # noqa: PLC0415 - pyarrow is slow to import

    for row in rows(Folder(path)):
        if not row["reply_text"]:
            result.left_out["rows without a reply"] += 1
            continue
        yield Judged(row["utterance_id"] or row["row_id"], _logged(row), row["reply_model"] or "")


def _logged(row: Mapping[str, Any]) -> TrustCase:
    turns = tuple(
        Turn("system" if turn["role"] == "system" else "user", turn["text"] or "") for turn in row["dialogue"] or ()
    )
    emotion = max(row["user_emotion"] or (), key=lambda item: item["p"], default=None)
    return TrustCase(
        turns, row["reply_text"], emotion["label"] if emotion else None, row["chosen"], row["locale"] or "en"
    )
