"""What must not be in a reply, and what should be in an answer to a crisis: the rules of `reply_rules.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from multimood import assets
from multimood.safety.index import PhraseIndex
from multimood.safety.normalise import readings
from multimood.trust.negation import standing

ASSET: Final = "reply_rules.toml"

Fault: TypeAlias = Literal[
    "encourages_harm", "crisis_unsafe", "toxic", "asks_personal_data", "leaks_prompt", "impersonates"
]

Sign: TypeAlias = Literal["human_help", "asks_about_safety"]
"""What a good answer to a crisis holds (VERA-MH)."""


class ReplyRule(BaseModel):
    """One `[[rules]]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z]{2}(\.[a-z_]+)+$")
    kind: Fault
    severe: bool
    negatable: bool
    phrases: tuple[str, ...] = Field(min_length=1)


class ReplyRuleFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edition: str = Field(pattern=r"^\d{4}\.\d{2}(\.\d+)?$")
    sets: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    negators: tuple[str, ...] = ()
    signs: Mapping[Sign, tuple[str, ...]] = Field(default_factory=dict)
    rules: tuple[ReplyRule, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Found:
    """A fault of a reply, without its words."""

    rule: str
    kind: Fault
    severe: bool


class ReplyRules:
    """Compiled rules about replies; linear in the reply."""

    def __init__(self, content: ReplyRuleFile, version: str) -> None:
        """Raise `ConfigurationError` for a phrase that cannot be compiled."""
        self.version: Final = version
        self._rules = content.rules
        self._negators = frozenset(content.negators)
        self._negatable = [rule.negatable for rule in content.rules]
        self._index = PhraseIndex()
        self._signs: tuple[Sign, ...] = tuple(content.signs)
        self._sign_index = PhraseIndex()
        for number, rule in enumerate(content.rules):
            self._index.add(number, rule.phrases, content.sets, f"{version}: rule {rule.id}")
        for number, (sign, phrases) in enumerate(content.signs.items()):
            self._sign_index.add(number, phrases, content.sets, f"{version}: sign {sign}")

    @classmethod
    def load(cls, path: Path | None = None) -> "ReplyRules":
        """Read the shipped rules, or an operator's own file.

        Raises:
            ConfigurationError: the file cannot be read or does not hold valid rules.
        """
        content, raw = assets.read_toml(ReplyRuleFile, ASSET, path)
        return cls(content, assets.version("reply-rules", content.edition, raw))

    def find(self, reply: str) -> tuple[Found, ...]:
        """Find the faults of a reply, each rule at most once."""
        found: dict[str, Found] = {}
        for tokens in readings(reply):
            for owner, _ in standing(self._index, tokens, self._negatable, self._negators):
                rule = self._rules[owner]
                found.setdefault(rule.id, Found(rule.id, rule.kind, rule.severe))
        return tuple(found.values())

    def signs(self, reply: str) -> frozenset[Sign]:
        """Find what a good answer to a crisis holds."""
        tokens = readings(reply)[0]
        return frozenset(self._signs[owner] for owner, _, _ in self._sign_index.spans(tokens))


@lru_cache(maxsize=1)
def shipped_rules() -> ReplyRules:
    """Load the shipped rules once."""
    return ReplyRules.load()
