"""The last look at a generated reply before it leaves: refuse it with a typed reason, or let it go."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from multimood.safety.normalise import MARKS, readings
from multimood.safety.replies import KINDS, VettedReplies
from multimood.safety.rules import RuleSet
from multimood.safety.verdict import Verdict
from multimood.trust.patterns import Fault, ReplyRules, shipped_rules
from multimood.trust.personal_data import personal_data

MOST_CHARACTERS: Final = 4_000
_LEAST_WORDS_FOR_REPETITION: Final = 12
_MOST_REPEATED_SHARE: Final = 0.5
_MOST_EQUAL_SENTENCES: Final = 2
_CONTACTS: Final = ("email", "phone", "iban", "card", "ssn", "site")
_OWN_CRISIS: Final = frozenset(("intent", "wish", "plan", "attempt", "selfharm", "violence", "place"))
"""Groups of the crisis rules that nobody who supports says of themselves."""
_MARKERS: Final = re.compile(
    r"<\|[a-z_]{1,20}\|>|\[/?INST\]|<</?SYS>>|</?s>|^\s{0,8}#{2,4} |```|\{\{|\}\}"
    r"|^\s{0,8}\[?(?:user|assistant|system|seeker|supporter|human|therapist|counsell?or|client|bot|ai|strategy|response|reply)\]?\s{0,4}:",
    re.IGNORECASE | re.MULTILINE,
)

Reason: TypeAlias = Literal[
    "not_screened",
    "crisis",
    "empty",
    "too_long",
    "repetitive",
    "role_markers",
    "unverified_contact",
    "speaks_as_in_crisis",
]


@dataclass(frozen=True, slots=True)
class GuardResult:
    """Whether the reply may leave; if not, why: a stable label and rule ids, never the words."""

    allowed: bool
    reason: Reason | Fault | None
    rules: tuple[str, ...]
    version: str


def guard(reply: str, verdict: Verdict | None, rules: ReplyRules | None = None) -> GuardResult:
    """Look at a generated reply to an utterance with this verdict (None: never screened, which refuses anything).

    `rules` replace the shipped ones. Linear in the reply; about 0.2 ms for one of normal length.
    """
    rules = rules or shipped_rules()
    reason, fired = _refusal(reply, verdict, rules)
    return GuardResult(reason is None, reason, fired, rules.version)


def _refusal(reply: str, verdict: Verdict | None, rules: ReplyRules) -> tuple[Reason | Fault | None, tuple[str, ...]]:
    if verdict is None or verdict.crisis:
        return ("not_screened" if verdict is None else "crisis"), ()
    if reason := _malformed(reply):
        return reason, ()
    if faults := rules.find(reply):
        gravest = max(faults, key=lambda fault: fault.severe)
        return gravest.kind, tuple(sorted(fault.rule for fault in faults))
    crisis_rules = _shipped_crisis_rules()
    for tokens in crisis_rules.read(reply):
        finding, _ = crisis_rules.find(tokens)
        if finding.groups & _OWN_CRISIS:
            return "speaks_as_in_crisis", tuple(sorted(finding.rules))
    if unverified_contacts(reply):
        return "unverified_contact", ()
    return None, ()


def unverified_contacts(reply: str) -> frozenset[str]:
    """Kinds of contact or account data in the reply that no vetted text holds: an invented helpline helps nobody."""
    found = personal_data(reply)
    return frozenset(kind for kind in _CONTACTS if found.get(kind, frozenset()) - _known_contacts())


def _malformed(reply: str) -> Reason | None:
    if len(reply) > MOST_CHARACTERS:
        return "too_long"
    words = [token for token in readings(reply)[0] if token not in MARKS]
    if not any(letter.isalpha() for word in words for letter in word):
        return "empty"
    if _MARKERS.search(reply):
        return "role_markers"
    if _repetitive(words) or _says_again(reply):
        return "repetitive"
    return None


def _repetitive(words: Sequence[str]) -> bool:
    if len(words) < _LEAST_WORDS_FOR_REPETITION:
        return False
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    repeated = sum(count - 1 for count in triples.values())
    return repeated / (len(words) - 2) > _MOST_REPEATED_SHARE


def _says_again(reply: str) -> bool:
    sentences = Counter(part.strip().lower() for part in re.split(r"[.!?\n]+", reply) if len(part.split()) > 1)
    return any(count > _MOST_EQUAL_SENTENCES for count in sentences.values())


@lru_cache(maxsize=1)
def _shipped_crisis_rules() -> RuleSet:
    return RuleSet.load()


@lru_cache(maxsize=1)
def _known_contacts() -> frozenset[str]:
    replies = VettedReplies.load()
    texts = (one.text for tag in replies.locales for kind in KINDS for one in replies.all(kind, tag))
    return frozenset(value for text in texts for values in personal_data(text).values() for value in values)
