"""From what people type to plain tokens: one spelling for every way of writing, hiding or stretching a word.

A sentence's end is the token ".", a smaller pause ",", a double quotation mark '"'. Everything is linear in the text.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

END: Final = "."
PAUSE: Final = ","
QUOTE: Final = '"'
MARKS: Final = frozenset((END, PAUSE, QUOTE))

_INVISIBLE_CATEGORIES: Final = frozenset(("Mn", "Me", "Cf", "Cc", "Cs", "Co", "Cn"))
_KEPT_CONTROLS: Final = frozenset("\n\r\t\v\f\x85")
_MOST_EXPANSION: Final = 4
"""Ligatures that stand for whole phrases stay as they are: a text must not grow eighteen-fold."""
_LOOKALIKES: Final = str.maketrans("аеоресухіѕјԁһӏкмтвнαεορυχικτνѵɡıⅼℓ", "aeopecyxisjdhlkmtbhaeopuxiktvvgill")
"""Cyrillic, Greek and other letters that look Latin; applied only to words that mix alphabets."""
_APOSTROPHES: Final = re.compile(r"(?<=\w)['\u2018\u2019\u02bc`\u00b4\u2032](?=\w)")
_DOUBLE_QUOTES: Final = re.compile(r"[\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033]")
_SPELLED_OUT: Final = re.compile(r"(?<![^\W_])(?:[^\W_][ .\-_*]){2,}[^\W_](?![^\W_])")
_BETWEEN_LETTERS: Final = re.compile(r"[ .\-_*]")
_NEWLINES: Final = re.compile(r"[\n\r\v\f\x85\u2028\u2029]+")
_PIECE: Final = re.compile(
    r"[^\W_]+(?:[@$!|*+\u20ac#]+[^\W_]+)*|[@$](?=[^\W_])[^\W_]+(?:[@$!|*+]+[^\W_]+)*|[.!?\u2026;:,\"()]+"
)
_DISGUISED: Final = re.compile(r"[0-9@$!|*+\u20ac#]")
_STRETCHED: Final = re.compile(r"([^\W\d_])\1{2,}")
_LEET_I: Final = str.maketrans("013457@$!|+\u20ac", "oieastasilte")
_LEET_L: Final = str.maketrans("013457@$!|+\u20ac", "oleastaslite")
_CAN_END_SENTENCE: Final = frozenset(".!?\u2026;")


def plain(text: str) -> str:
    """Case-folded text without accents, invisible characters, full-width forms and look-alike letters."""
    odd = {
        ord(letter): _plain_letter(letter) for letter in set(text) if not (letter.isascii() and letter.isprintable())
    }
    text = text.translate(odd).casefold()
    if not text.isascii():
        text = " ".join(_latin(word) for word in text.split(" "))
    text = _DOUBLE_QUOTES.sub(QUOTE, _APOSTROPHES.sub("", text))
    return _SPELLED_OUT.sub(lambda match: _BETWEEN_LETTERS.sub("", match[0]), text)


def readings(text: str, masked: Iterable[str] = ()) -> list[list[str]]:
    """Token lists that the text may stand for: one for ordinary text, up to four when words are disguised or stretched.

    `masked` are the words that a token with asterisks is compared with ("k*ll").
    """
    pieces = _PIECE.findall(_NEWLINES.sub(" . ", plain(text)))
    result = [_tokens(pieces, masked, leet=None, run=r"\1\1")]
    if any(_is_disguised(piece) or _STRETCHED.search(piece) for piece in pieces):
        for leet, run in ((_LEET_I, r"\1\1"), (_LEET_I, r"\1"), (_LEET_L, r"\1\1")):
            reading = _tokens(pieces, masked, leet, run)
            if reading not in result:
                result.append(reading)
    return result


def _tokens(pieces: list[str], masked: Iterable[str], leet: dict[int, int] | None, run: str) -> list[str]:
    tokens: list[str] = []
    for piece in pieces:
        if piece[-1].isalnum():
            tokens.extend(_words(piece, masked, leet, run))
        elif QUOTE in piece:
            tokens.append(QUOTE)
            if not _CAN_END_SENTENCE.isdisjoint(piece):
                tokens.append(END)
        else:
            tokens.append(PAUSE if _CAN_END_SENTENCE.isdisjoint(piece) else END)
    return tokens


def _words(piece: str, masked: Iterable[str], leet: dict[int, int] | None, run: str) -> list[str]:
    if piece.isalpha():
        return [_STRETCHED.sub(run, piece)]
    if not _is_disguised(piece):
        return [piece]
    if leet is None:
        return [word for word in re.split(r"[@$!|*+\u20ac#]+", piece) if word]
    if "*" in piece or "#" in piece:
        hidden = piece.replace("#", "*")
        return [next((word for word in masked if _fits(word, hidden)), hidden.replace("*", ""))]
    return [_STRETCHED.sub(run, piece.translate(leet))]


def _fits(word: str, hidden: str) -> bool:
    return len(word) == len(hidden) and all(mark in ("*", letter) for letter, mark in zip(word, hidden, strict=True))


def _is_disguised(piece: str) -> bool:
    return bool(_DISGUISED.search(piece)) and any(letter.isalpha() for letter in piece)


@lru_cache(maxsize=4_096)
def _plain_letter(letter: str) -> str:
    # Letter by letter: normalising a text with a long run of accents takes quadratic time.
    if letter in _KEPT_CONTROLS:
        return letter
    if unicodedata.category(letter) in _INVISIBLE_CATEGORIES:
        return ""
    parts = unicodedata.normalize("NFKD", letter)
    kept = "".join(part for part in parts if unicodedata.category(part) not in _INVISIBLE_CATEGORIES)
    return kept if len(kept) <= _MOST_EXPANSION else letter


def _latin(word: str) -> str:
    if word.isascii() or not any("a" <= letter <= "z" for letter in word):
        return word
    return word.translate(_LOOKALIKES)
