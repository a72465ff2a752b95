"""Whether what a rule found in a reply is turned round: "I would never call you weak". Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from multimood.safety.index import PhraseIndex
from multimood.safety.normalise import MARKS
from multimood.safety.span import Span

_REACH: Final = 4


def standing(
    index: PhraseIndex, tokens: Sequence[str], negatable: Sequence[bool], negators: frozenset[str]
) -> Iterator[tuple[int, Span]]:
    """The matches that no negator turns round: owner, and the tokens it covers.

    `negatable` says of each owner whether a negator can; a phrase that names one itself means it so.
    """
    for owner, phrase, span in index.spans(tokens):
        turned = negatable[owner] and negators.isdisjoint(phrase.words) and is_negated(tokens, span, negators)
        if not turned:
            yield owner, span


def is_negated(tokens: Sequence[str], span: Span, negators: frozenset[str]) -> bool:
    """Tell whether a match is turned round by one of the negators: before it in the same sentence, or in it."""
    for place in range(span.start - 1, max(-1, span.start - _REACH - 1), -1):
        if tokens[place] in MARKS:
            return False
        if tokens[place] in negators:
            # "Why don't you ..." is an invitation.
            return place == 0 or tokens[place - 1] != "why"
    return not negators.isdisjoint(tokens[span.start : span.end])
