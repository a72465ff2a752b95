"""What must not be in a reply: the rules of `reply_rules.toml`, and the shapes of personal data."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from multimood import assets
from multimood.errors import ConfigurationError
from multimood.safety.index import PhraseIndex
from multimood.safety.normalise import MARKS, readings
from multimood.safety.phrase import compile_phrase
from multimood.safety.span import Span
from multimood.trust.phones import phones

ASSET: Final = "reply_rules.toml"
_NEGATION_REACH: Final = 4

Fault: TypeAlias = Literal[
    "encourages_harm", "crisis_unsafe", "toxic", "asks_personal_data", "leaks_prompt", "impersonates"
]

Sign: TypeAlias = Literal["human_help", "asks_about_safety"]
"""What a good answer to a crisis holds (VERA-MH)."""

PERSONAL_DATA: Final[Mapping[str, re.Pattern[str]]] = {
    "email": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}"),
    "phone": re.compile(r"(?<![\w+])\+?\d(?:[ ().\-/]{0,2}\d){8,14}(?!\w)"),
    "iban": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"),
    "card": re.compile(r"(?<!\d)(?:\d{4}[ -]?){3}\d{4}(?!\d)"),
    "ssn": re.compile(r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"),
    "street": re.compile(
        r"\b\d{1,5} (?:[A-Z][a-z]{1,20} ){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd)\b"
        r"|\b[A-ZÄÖÜ][a-zäöüß]{2,25}(?:straße|strasse|weg|platz|allee) \d{1,4}\b"
    ),
    "handle": re.compile(r"(?<![\w@.])@[A-Za-z]\w{2,30}\b"),
    "site": re.compile(
        r"(?<![\w@.])(?:https?://|www\.)[^\s<>\"]{3,200}"
        r"|(?<![\w@./-])[a-z0-9-]{2,40}\.(?:com|org|net|info|gov|edu|co\.uk|org\.uk)\b(?!@)",
        re.IGNORECASE,
    ),
}
"""Shapes of personal data; all bounded, so that matching is linear. A helpline's short number is none of them."""


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
        self._index = PhraseIndex()
        self._signs: tuple[Sign, ...] = tuple(content.signs)
        self._sign_index = PhraseIndex()
        for number, rule in enumerate(content.rules):
            self._add(self._index, number, rule.id, rule.phrases, content.sets)
        for number, (sign, phrases) in enumerate(content.signs.items()):
            self._add(self._sign_index, number, sign, phrases, content.sets)

    @classmethod
    def load(cls, path: Path | None = None) -> "ReplyRules":
        """Read the shipped rules, or an operator's own file.

        Raises:
            ConfigurationError: the file cannot be read or does not hold valid rules.
        """
        raw = assets.read(ASSET, path)
        place = str(path or ASSET)
        try:
            content = ReplyRuleFile.model_validate(assets.parse_toml(place, raw))
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            raise ConfigurationError(f"{place}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        return cls(content, assets.version("reply-rules", content.edition, raw))

    def find(self, reply: str) -> tuple[Found, ...]:
        """Find the faults of a reply, each rule at most once."""
        found: dict[str, Found] = {}
        for tokens in readings(reply):
            for owner, phrase, span in self._index.spans(tokens):
                rule = self._rules[owner]
                if (
                    rule.negatable
                    and self._negators.isdisjoint(phrase.words)
                    and is_negated(tokens, span, self._negators)
                ):
                    continue
                found.setdefault(rule.id, Found(rule.id, rule.kind, rule.severe))
        return tuple(found.values())

    def signs(self, reply: str) -> frozenset[Sign]:
        """Find what a good answer to a crisis holds."""
        tokens = readings(reply)[0]
        return frozenset(self._signs[owner] for owner, _, _ in self._sign_index.spans(tokens))

    def _add(
        self, index: PhraseIndex, owner: int, name: str, sources: Sequence[str], sets: Mapping[str, Sequence[str]]
    ) -> None:
        for source in sources:
            try:
                index.add(owner, compile_phrase(source, sets))
            except ValueError as error:
                raise ConfigurationError(f"{self.version}: rule {name}, phrase {source!r}: {error}") from error


def is_negated(tokens: Sequence[str], span: Span, negators: frozenset[str]) -> bool:
    """Tell whether a match is turned round by one of the negators: before it in the same sentence, or in it."""
    for place in range(span.start - 1, max(-1, span.start - _NEGATION_REACH - 1), -1):
        if tokens[place] in MARKS:
            return False
        if tokens[place] in negators:
            # "Why don't you ..." is an invitation.
            return place == 0 or tokens[place - 1] != "why"
    return not negators.isdisjoint(tokens[span.start : span.end])


@lru_cache(maxsize=1)
def shipped_rules() -> ReplyRules:
    """Load the shipped rules once."""
    return ReplyRules.load()


_ANY_CARD: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_ANY_IBAN: Final = re.compile(r"\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]){11,30}\b", re.IGNORECASE)


def personal_data(text: str) -> dict[str, frozenset[str]]:
    """Find what looks like personal data: kind -> values without spaces and punctuation, so that spellings agree.

    A usual shape is enough, for what a model invents fails every checksum. Account and card numbers in an unusual shape
    count when their checksum holds, telephone numbers when they can exist.
    """
    found = {kind: {_bare(match[0]) for match in pattern.finditer(text)} for kind, pattern in PERSONAL_DATA.items()}
    found["card"] |= {value for match in _ANY_CARD.finditer(text) if _is_card(value := _bare(match[0]))}
    found["iban"] |= {value for match in _ANY_IBAN.finditer(text) if _is_iban(value := _bare(match[0]))}
    found["phone"] |= phones(text)
    return {kind: frozenset(values) for kind, values in found.items() if values}


def _bare(value: str) -> str:
    return re.sub(r"[\s().\-/]", "", value).lower()


def _is_card(digits: str) -> bool:
    """Luhn's checksum (ISO/IEC 7812-1)."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _is_iban(value: str) -> bool:
    """ISO 7064's checksum mod 97: letters count as 10 to 35."""
    return int("".join(str(int(letter, 36)) for letter in value[4:] + value[:4])) % 97 == 1
