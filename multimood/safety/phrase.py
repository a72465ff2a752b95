"""A small phrase language for people who are not programmers, compiled to expressions that match in linear time.

    kill myself             these words, one after the other (punctuation between them is ignored)
    {kill|hurt} myself      one of several; an alternative may have several words
    [just] end it           a part that may be missing
    want to ..2 die         up to two other words between, within one sentence
    suicid*                 any word that begins so
    <person> is dying       a set of words defined once in the file's [sets]

There is no unbounded repetition, so the longest match and the work per starting word are bounded by the phrase itself.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from multimood.safety.normalise import MARKS, readings

MOST_GAP: Final = 8
MOST_GAPS: Final = 3
_ELEMENT: Final = re.compile(r"\s*(\{[^{}\[\]]*\}|\[[^{}\[\]]*\]|<[^<>]*>|\.\.\d+|[^\s{}\[\]<>]+)")
_BREAK: Final = '(?:[.,"] ){0,2}'
_ANY_WORD: Final = r"(?:(?!\. )\S++ )"


@dataclass(frozen=True, slots=True)
class Phrase:
    """One compiled phrase; `expression` matches at a word's beginning in tokens joined by single spaces."""

    expression: re.Pattern[str]
    first: tuple[str, ...]
    """Words (or stems, ending in "*") that a match can begin with."""
    words: frozenset[str]
    """All words that the phrase itself names: a negation among them is part of its meaning."""


def compile_phrase(source: str, sets: Mapping[str, Sequence[str]]) -> Phrase:
    """Compile one phrase.

    Raises:
        ValueError: the phrase is malformed; the message says where and what would be right.
    """
    parts: list[str] = []
    first: list[str] = []
    words: set[str] = set()
    open_start, gaps, position = True, 0, 0
    while position < len(source.rstrip()):
        match = _ELEMENT.match(source, position)
        if match is None:
            raise ValueError(f"{source[position:]!r} is not understood: unbalanced or nested brackets")
        position, element = match.end(), match[1]
        if element.startswith(".."):
            if open_start:
                raise ValueError("a phrase cannot begin with a gap: begin with a word")
            gaps += 1
            if gaps > MOST_GAPS or int(element[2:]) > MOST_GAP:
                raise ValueError(f"at most {MOST_GAPS} gaps of at most {MOST_GAP} words are allowed")
            parts.append(f"{_ANY_WORD}{{0,{int(element[2:])}}}?")
            continue
        alternatives = _alternatives(element, sets)
        optional = element.startswith("[")
        group = "|".join(_expression(alternative) for alternative in alternatives)
        parts.append(f"(?:{group}){_BREAK}" if not optional else f"(?:(?:{group}){_BREAK})?")
        words.update(word.rstrip("*") for alternative in alternatives for word in alternative)
        if open_start:
            first.extend(alternative[0] for alternative in alternatives)
            open_start = optional
    if open_start:
        raise ValueError("a phrase needs at least one word that must be there")
    return Phrase(re.compile("".join(parts)), tuple(dict.fromkeys(first)), frozenset(words))


def _alternatives(element: str, sets: Mapping[str, Sequence[str]]) -> list[list[str]]:
    if element.startswith("<"):
        name = element[1:-1]
        if name not in sets:
            raise ValueError(f"there is no set <{name}>: the sets are {', '.join(sorted(sets)) or 'none'}")
        texts: Sequence[str] = sets[name]
    elif element[0] in "{[":
        texts = element[1:-1].split("|")
    else:
        texts = [element]
    return [words_of(text) for text in texts]


def words_of(text: str) -> list[str]:
    """Split off the words of a phrase's part as the screener will see them, stems still ending in "*".

    Raises:
        ValueError: there is no word in it.
    """
    words: list[str] = []
    for raw in text.split():
        plain = [token for token in readings(raw.rstrip("*"))[0] if token not in MARKS]
        if plain and raw.endswith("*"):
            plain[-1] += "*"
        words.extend(plain)
    if not words:
        raise ValueError(f"{text!r} holds no word")
    return words


def _expression(words: Sequence[str]) -> str:
    # Possessive: a word is taken whole or not at all, there is nothing to try again.
    return _BREAK.join(
        rf"{re.escape(word[:-1])}\S*+ " if word.endswith("*") else f"{re.escape(word)} " for word in words
    )
