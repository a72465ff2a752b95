"""Verifying a log: does every row keep what the contract promises, and is anything missing or there twice? Ids only.

A finding is wrong (the log cannot be trusted as it is), or notable (allowed by the contract, but whoever learns from it
should know).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from multimood.errors import NotFoundError
from multimood.experience.findings import NOTED, WRONG, findings
from multimood.experience.naming import is_feedback
from multimood.experience.reader import Advance, Days, rows
from multimood.experience.schema import FEEDBACK_SCHEMA, FORMER, SCHEMA
from multimood.experience.sources import Source
from multimood.experience.table import DamagedObjectError, batches, types_of

NAMED: Final = 10
"""Offenders that are named, of each kind."""


@dataclass(slots=True)
class Report:
    """What was found, by kind."""

    objects: int = 0
    rows: int = 0
    feedback: int = 0
    fit: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The first of each kind: an object, a row id, or a conversation."""

    def add(self, kind: str, whose: str, count: int = 1) -> None:
        """Count a finding, or several of one kind about one thing."""
        self.counts[kind] += count
        if len(self.named[kind]) < NAMED:
            self.named[kind].append(whose)

    def is_sound(self, allowed: Sequence[str] = ()) -> bool:
        """Nothing is wrong, but for the kinds that are `allowed`."""
        return not any(count and kind in WRONG and kind not in allowed for kind, count in self.counts.items())

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "objects": self.objects, "rows": self.rows, "feedback": self.feedback, "fit_for_ope": self.fit,
            "wrong": {kind: self.counts[kind] for kind in WRONG if self.counts[kind]},
            "notable": {kind: self.counts[kind] for kind in NOTED if self.counts[kind]},
            "named": {kind: list(found) for kind, found in sorted(self.named.items())},
        }  # fmt: skip


def check(source: Source, *, days: Days = None, advance: Advance | None = None) -> Report:
    """Verify a log. `days`: the rows of these days only; whether something is a gap or an orphan is then not judged.

    Memory: the row ids and steps of all conversations, some 200 bytes a row. Raises what the source raises.
    """
    report = Report()
    sound = _Sound(source, _objects(source, report))
    _copies(sound, report)
    steps: dict[tuple[str, str], list[int]] = defaultdict(list)
    utterances: set[tuple[str, str, str]] = set()
    keys: set[str] = set()
    versions: Counter[str] = Counter()
    for row in rows(sound, days=days, advance=advance):
        report.rows += 1
        report.fit += bool(row["fit_for_ope"])
        for kind in findings(row):
            report.add(kind, row["row_id"])
        if row["step"] is not None:
            steps[row["tenant"], row["conversation_id"]].append(row["step"])
        utterances.add((row["tenant"], row["conversation_id"], row["utterance_id"]))
        if row["pseudonym_key"] is not None:
            keys.add(row["pseudonym_key"])
        if row["reward"] is not None:
            versions[row["reward_version"]] += 1
    for (_, conversation), taken in steps.items():
        _count_steps(report, conversation, taken, is_whole=days is None)
    for key in sorted(keys)[1:]:
        report.add("keys", key)
    for version, count in versions.most_common()[1:]:
        report.add("rewards", version, count)
    _feedback(sound, report, utterances if days is None else None)
    return report


def _count_steps(report: Report, conversation: str, taken: Sequence[int], *, is_whole: bool) -> None:
    """Steps begin at 0 and follow each other."""
    unique = set(taken)
    if repeated := len(taken) - len(unique):
        report.add("step", conversation, repeated)
    if is_whole and (absent := max(unique) + 1 - len(unique)):
        report.add("gap", conversation, absent)


@dataclass(frozen=True, slots=True)
class _Sound:
    """The source without its damaged objects."""

    source: Source
    damaged: frozenset[str]

    def objects(self) -> Sequence[Any]:
        return [found for found in self.source.objects() if found.name not in self.damaged]

    def read(self, name: str) -> bytes:
        return self.source.read(name)


def _objects(source: Source, report: Report) -> frozenset[str]:
    """Look at every object's schema; gives the names of those that cannot be read."""
    damaged = set()
    for found in source.objects():
        report.objects += 1
        schema, key = (FEEDBACK_SCHEMA, "feedback_id") if is_feedback(found.name) else (SCHEMA, "row_id")
        try:
            data = source.read(found.name)
            types = types_of(data)
            has_keys = key in types and all(row[key] is not None for batch in batches(data, [key]) for row in batch)
        except DamagedObjectError:
            has_keys, types = False, {}
        except NotFoundError:
            continue  # compacted at this moment
        if not has_keys:
            damaged.add(found.name)
            report.add("damaged", found.name)
            continue
        for column in sorted(types.keys() ^ set(schema.names)):
            report.add("column", f"{found.name}: {column}")
        for name in sorted(types.keys() & set(schema.names)):
            if types[name] != schema.field(name).type and types[name] != FORMER.get(name):
                report.add("schema", f"{found.name}: {name} is {types[name]}")
                damaged.add(found.name)
    return frozenset(damaged)


def _copies(source: Source, report: Report) -> None:
    """Rows that lie in several places: halves of one are as they should be, copies are not."""
    parts: dict[str, Counter[tuple[bool, bool]]] = defaultdict(Counter)
    columns = ("row_id", "has_decision", "has_reply")
    for found in source.objects():
        if is_feedback(found.name):
            continue
        for row in _read(source, found.name, columns):
            parts[row["row_id"]][bool(row.get("has_decision")), bool(row.get("has_reply"))] += 1
    for row_id, kinds in parts.items():
        if max(kinds.values()) > 1:
            report.add("duplicate", row_id)
        elif len(kinds) > 1:
            report.add("half", row_id)


def _feedback(source: Source, report: Report, known: set[tuple[str, str, str]] | None) -> None:
    seen: set[str] = set()
    for found in source.objects():
        if not is_feedback(found.name):
            continue
        for row in _read(source, found.name, None):
            if row["feedback_id"] in seen:
                continue
            seen.add(row["feedback_id"])
            report.feedback += 1
            if known is not None and (row["tenant"], row["conversation_id"], row["utterance_id"]) not in known:
                report.add("orphan", row["feedback_id"])


def _read(source: Source, name: str, columns: Sequence[str] | None) -> Iterator[Mapping[str, Any]]:
    try:
        data = source.read(name)
    except NotFoundError:
        return
    for batch in batches(data, columns):
        yield from batch
