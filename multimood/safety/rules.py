"""The curated rules: what they are in the file, and what they find in a text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from pydantic import BaseModel, ConfigDict, Field

from multimood import assets
from multimood.errors import ConfigurationError
from multimood.safety.context import Context, remaining
from multimood.safety.index import PhraseIndex
from multimood.safety.normalise import END, MARKS, readings
from multimood.safety.span import Span
from multimood.safety.verdict import CRISIS, Level, higher, rank

ASSET: Final = "crisis_rules.toml"


class RuleEntry(BaseModel):
    """One `[[rules]]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z]{2}(\.[a-z_]+)+$")
    """Language, subject, kind: `en.suicide.intent`."""
    level: Level
    """What a match means by itself; "none" for a sign that counts only together with others."""
    group: str = Field(pattern=r"^[a-z_]+$")
    """What `[[escalations]]` refer to."""
    subject: bool = False
    """The phrase does not say who: a subject other than the speaker just before it makes it someone else's."""
    historic: bool = True
    """Counts less when told as long past."""
    explains: bool = False
    """What it matched is fully understood: the classifier need not see it."""
    phrases: tuple[str, ...] = Field(min_length=1)


class IdiomEntry(BaseModel):
    """One `[[idioms]]` table: ways of speaking that take the meaning from a rule's match they overlap."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z]{2}(\.[a-z_]+)+$")
    phrases: tuple[str, ...] = Field(min_length=1)


class EscalationEntry(BaseModel):
    """One `[[escalations]]` table: groups that together in one text mean more than each alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z_.]+$")
    groups: tuple[str, ...] = Field(min_length=2)
    level: Level


class RuleFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edition: str = Field(pattern=r"^\d{4}\.\d{2}(\.\d+)?$")
    masked: tuple[str, ...] = ()
    sets: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    context: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    rules: tuple[RuleEntry, ...] = Field(min_length=1)
    idioms: tuple[IdiomEntry, ...] = ()
    escalations: tuple[EscalationEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What the rules say of one text."""

    level: Level
    rules: frozenset[str]
    groups: frozenset[str]
    """Groups of all undiminished matches."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a text: its tokens, and which of them are explained away (idioms, negations, quotations)."""

    tokens: tuple[str, ...]
    harmless: tuple[Span, ...]
    matched: tuple[Span, ...]
    """Where rules matched in full."""


class RuleSet:
    """Compiled rules. Matching costs time linear in the text: per word a look-up, per candidate a bounded match."""

    def __init__(self, content: RuleFile, version: str) -> None:
        """Raise `ConfigurationError` for a phrase that cannot be compiled or an id that is there twice."""
        self.version: Final = version
        self.entries: Final = content.rules
        self._masked = content.masked
        self._escalations = content.escalations
        self._by_id = {entry.id: entry for entry in content.rules}
        self._context = Context(content.context)
        self._rules = PhraseIndex()
        self._idioms = PhraseIndex()
        seen: set[str] = set()
        for index, entries in ((self._rules, content.rules), (self._idioms, content.idioms)):
            for number, entry in enumerate(cast("Iterable[RuleEntry | IdiomEntry]", entries)):
                if entry.id in seen:
                    raise ConfigurationError(f"{version}: the id {entry.id!r} is there twice: give each rule its own")
                seen.add(entry.id)
                index.add(number, entry.phrases, content.sets, f"{version}: rule {entry.id}")
        groups = {entry.group for entry in content.rules}
        for escalation in content.escalations:
            if unknown := set(escalation.groups) - groups:
                raise ConfigurationError(f"{version}: escalation {escalation.id} names no group of a rule: {unknown}")

    @classmethod
    def load(cls, path: Path | None = None) -> "RuleSet":
        """Read the shipped rules, or an operator's own file.

        Raises:
            ConfigurationError: the file cannot be read or does not hold valid rules.
        """
        content, raw = assets.read_toml(RuleFile, ASSET, path)
        return cls(content, assets.version("rules", content.edition, raw))

    def read(self, text: str) -> list[tuple[str, ...]]:
        """List the readings of a text, as `find` wants them."""
        return [tuple(tokens) for tokens in readings(text, self._masked)]

    def find(self, tokens: tuple[str, ...]) -> tuple[Finding, Reading]:
        """Match all rules against one reading."""
        spans = (_words_of(span, tokens) for _, _, span in self._idioms.spans(tokens))
        # An idiom is one breath: a later sentence takes nothing back.
        idioms = [span for span in spans if END not in tokens[span.start : span.end]]
        level: Level = "none"
        rules: set[str] = set()
        groups: set[str] = set()
        harmless = list(idioms)
        matched: list[Span] = []
        for owner, phrase, span in self._rules.spans(tokens):
            entry = self.entries[owner]
            if any(span.overlaps(idiom) for idiom in idioms):
                continue
            reason, found = self._context.weigh(
                tokens, span, phrase.words, entry.level, subject=entry.subject, historic=entry.historic
            )
            if entry.level != "none":
                rules.add(f"{reason}:{entry.id}" if reason else entry.id)
            level = higher(level, found)
            if not reason:
                groups.add(entry.group)
                matched.append(span)
            if entry.explains or (reason and rank(found) < rank(CRISIS)):
                harmless.append(span)
        return Finding(level, frozenset(rules), frozenset(groups)), Reading(tokens, tuple(harmless), tuple(matched))

    def escalate(self, level: Level, groups: frozenset[str]) -> tuple[Level, frozenset[str]]:
        """Raise the level when groups came together; with the ids of the escalations that did it."""
        raised = {entry.id for entry in self._escalations if groups.issuperset(entry.groups)}
        for entry in self._escalations:
            if entry.id in raised:
                level = higher(level, entry.level)
        return level, frozenset(raised)

    def meaning(self, ids: Iterable[str]) -> tuple[Level, frozenset[str]]:
        """Tell from the ids in a verdict what the rules alone found: the level, and the groups that counted in full.

        Groups of rules that by themselves mean nothing ("none") are in no verdict. Ids of other rules are passed over.
        """
        level: Level = "none"
        groups: set[str] = set()
        raised = {entry.id: entry.level for entry in self._escalations}
        for name in ids:
            reason, _, bare = name.rpartition(":")
            entry = self._by_id.get(bare)
            if entry is None:
                level = higher(level, raised.get(bare, "none"))
            elif not reason:
                level = higher(level, entry.level)
                groups.add(entry.group)
            else:
                level = higher(level, remaining(reason, entry.level))
        return level, frozenset(groups)


def _words_of(span: Span, tokens: tuple[str, ...]) -> Span:
    """A match without the punctuation behind its last word."""
    end = span.end
    while tokens[end - 1] in MARKS:
        end -= 1
    return Span(span.start, end)
