"""What stands before a match and takes weight from it: a negation, another subject, a quotation, the long past.

In doubt a match keeps its weight: a missed crisis is worse than a needless vetted reply.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from multimood.errors import ConfigurationError
from multimood.safety.normalise import END, MARKS, QUOTE
from multimood.safety.span import Span
from multimood.safety.verdict import Level, rank

_LISTS: Final = ("negators", "breakers", "hedges", "selves", "others", "speech", "media", "past", "past_after")
_NEGATION_REACH: Final = 5
_SUBJECT_REACH: Final = 3
_QUOTATION_REACH: Final = 10
_PAST_REACH: Final = 8


class Context:
    """The word lists of the file's `[context]` table, and how they are used."""

    def __init__(self, lists: Mapping[str, Sequence[str]]) -> None:
        """Raise `ConfigurationError` for a list that nothing reads."""
        if unknown := set(lists) - set(_LISTS):
            raise ConfigurationError(
                f"[context] has unknown lists {sorted(unknown)}: the lists are {', '.join(_LISTS)}"
            )
        sets = {name: frozenset(lists.get(name, ())) for name in _LISTS}
        self._negators = sets["negators"]
        self._breakers = sets["breakers"]
        self._hedges = sets["hedges"]
        self._selves = sets["selves"]
        self._others = sets["others"]
        self._speech = sets["speech"]
        self._media = sets["media"]
        self._past = sets["past"]
        self._past_after = sets["past_after"]

    def weigh(  # noqa: PLR0911 - one return per reason
        self,
        tokens: Sequence[str],
        span: Span,
        own_words: frozenset[str],
        level: Level,
        *,
        subject: bool,
        historic: bool,
    ) -> tuple[str, Level]:
        """Say why a match counts less ("" if it does not), and what level remains."""
        if rank(level) <= rank("low"):
            return "", level
        if self._negated(tokens, span, own_words):
            return "negated", "low"
        before = _sentence_before(tokens, span.start)
        if self._quoted(before):
            if not self._media.isdisjoint(before[-_QUOTATION_REACH:]):
                return "quoted", "low"
            if self._reported(before):
                return "reported", remaining("reported", level)
        if subject and self._selves.isdisjoint(tokens[span.start : span.end]) and self._someone_else(before):
            return "other", "low"
        if historic and self._long_past(before, tokens, span.end):
            return "past", "low"
        return "", level

    def _negated(self, tokens: Sequence[str], span: Span, own_words: frozenset[str]) -> bool:
        if inside := self._negators.intersection(tokens[span.start : span.end]):
            # One that the phrase itself names is its meaning ("don't want to live"); one in a gap negates it.
            return not inside <= own_words
        for distance, token in enumerate(reversed(tokens[max(0, span.start - _NEGATION_REACH) : span.start])):
            if token in self._negators:
                return True
            if token in MARKS or token in self._breakers:
                return False
            if token in self._selves:
                # "I don't drink, I want to die": a new subject begins anew, unless it is "I don't think I want to".
                place = span.start - distance - 1
                return place >= 2 and tokens[place - 1] in self._hedges and tokens[place - 2] in self._negators  # noqa: PLR2004
        return False

    def _quoted(self, before: Sequence[str]) -> bool:
        return before.count(QUOTE) % 2 == 1

    def _reported(self, before: Sequence[str]) -> bool:
        opening = len(before) - 1 - list(reversed(before)).index(QUOTE)
        lead = before[max(0, opening - _QUOTATION_REACH) : opening]
        return not self._speech.isdisjoint(lead) and self._someone_else(lead, reach=_QUOTATION_REACH)

    def _someone_else(self, before: Sequence[str], reach: int = _SUBJECT_REACH) -> bool:
        for token in reversed(before[-reach:]):
            if token in self._others:
                return True
            if token in self._selves:
                return False
        return False

    def _long_past(self, before: Sequence[str], tokens: Sequence[str], end: int) -> bool:
        if not self._past.isdisjoint(before[-2:]):
            return True
        after = list(tokens[end : end + _PAST_REACH])
        if END in after:
            after = after[: after.index(END)]
        told = f" {' '.join(after)} "
        return any(f" {phrase} " in told for phrase in self._past_after)


def remaining(reason: str, level: Level) -> Level:
    """What is left of a level for a reason: words of somebody else that are passed on may still be a crisis."""
    return min(level, "elevated" if reason == "reported" else "low", key=rank)


def _sentence_before(tokens: Sequence[str], start: int) -> Sequence[str]:
    begin = start
    while begin > 0 and tokens[begin - 1] != END and start - begin < 2 * _QUOTATION_REACH:
        begin -= 1
    return tokens[begin:start]
