"""A reply while it is being written: what the guard has to see, what may leave, what the whole will be. Pure.

What left is a prefix of the final reply, however the text came in. To make this so, and to let no word leave before
what follows it was seen:

- whole words leave, the last whole word stays until the next one is whole, a run of words with digits (a telephone
  number, a date) stays until a word without one follows;
- when the tokens are about to run out, a sentence that has not begun to leave stays until it is finished;
- a reply that was cut ends with its last finished sentence, unless more has left: then with its last whole word and
  an ellipsis.
"""

import re
import unicodedata
from typing import Final

from multimood.generation.sentences import sentence_ends

_GAP: Final = re.compile(r"\s+|(?<=[。！？，、；])(?!$)")  # noqa: RUF001
_NUMBERLIKE: Final = re.compile(r"[\d@+]")
CUT: Final = "…"


class Draft:
    """Text of a growing reply.

    It is full, and takes no more, with `most_sentences` finished sentences (0: no limit) or `most_characters`.
    """

    def __init__(self, *, most_sentences: int, most_characters: int) -> None:
        self._most_sentences = most_sentences
        self._most_characters = most_characters
        self._text = ""
        self.sent = 0
        """Characters that have left."""
        self.full = False
        self.scarce = False
        """The tokens are about to run out."""
        self._cut = False

    @property
    def text(self) -> str:
        """All of it so far."""
        return self._text

    @property
    def has_sentence(self) -> bool:
        """Whether at least one sentence is finished."""
        return any(True for _ in sentence_ends(self._text, is_all=True))

    def add(self, piece: str) -> None:
        """Take more text. Control characters and lone surrogates are left out, leading space too."""
        if self.full:
            return
        plain = "".join(
            " " if letter == "\t" else letter
            for letter in piece
            if letter in "\t\n" or unicodedata.category(letter) not in {"Cc", "Cs"}
        )
        self._text = (self._text + plain).lstrip()
        if self._most_sentences:
            ends = list(sentence_ends(self._text, is_all=False))
            if len(ends) >= self._most_sentences:
                self._text, self.full = self._text[: ends[self._most_sentences - 1]], True
        if len(self._text) > self._most_characters:
            self._text, self.full, self._cut = self._text[: self._most_characters], True, True

    def seen(self) -> str:
        """The whole words so far, for the guard; empty while there is no letter to judge."""
        words = self._text[: self._whole()].rstrip()
        return words if any(letter.isalpha() for letter in words) else ""

    def take(self) -> str:
        """What may leave once the guard has allowed `seen`; it counts as sent."""
        end = self._leavable()
        if end <= self.sent:
            return ""
        piece = self._text[self.sent : end]
        self.sent = end
        return piece

    def finish(self, *, cut: bool) -> str:
        """The final reply; `cut` says that its writer did not come to an end. Empty if there is nothing to say."""
        if not (cut or self._cut):
            return self._text.rstrip()
        end = max(sentence_ends(self._text, is_all=True), default=0)
        if end and end >= self.sent:
            return self._text[:end]
        words = self._text[: max(self._whole(), self.sent)].rstrip()
        return f"{words}{CUT}" if words else ""

    def _whole(self) -> int:
        return max(self._word_ends(), default=0)

    def _word_ends(self) -> list[int]:
        """Offsets behind the whole words: those that something follows."""
        return [gap.start() for gap in _GAP.finditer(self._text)]

    def _leavable(self) -> int:
        ends = [0, *self._word_ends()]
        last = len(ends) - 1
        held = last  # words are counted from 1; the held one and those behind it stay
        while held > 1 and self._is_number(ends, held) and self._is_number(ends, held - 1):
            held -= 1
        offset = ends[max(held - 1, 0)]
        if self.scarce:
            finished = max((end for end in sentence_ends(self._text, is_all=False) if end <= offset), default=0)
            if finished >= self.sent:
                return finished
        return offset

    def _is_number(self, ends: list[int], word: int) -> bool:
        return _NUMBERLIKE.search(self._text, ends[word - 1], ends[word]) is not None
