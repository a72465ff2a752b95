"""Where sentences end. Pure."""

import re
from collections.abc import Iterator
from typing import Final

_END: Final = re.compile(r"[.!?…]+[\"')\]”’»]*(?=\s|$)|[。！？]+[」』”’]*")  # noqa: RUF001
_WORD: Final = re.compile(r"\S+$")
_ABBREVIATIONS: Final = frozenset(("e.g.", "i.e.", "etc.", "vs.", "dr.", "mr.", "mrs.", "ms.", "st.", "ca.", "z.b."))


def sentence_ends(text: str, *, is_all: bool) -> Iterator[int]:
    """Yield the offset behind each finished sentence.

    Until `is_all`, more text may follow, so what stands at the very end is not known to be an end. No end is what is
    followed by a small letter, or is an abbreviation, an initial or the number of a list item.
    """
    for found in _END.finditer(text):
        rest = text[found.end() :].lstrip()
        if rest[:1].islower() or not (rest or is_all):
            continue
        if found[0] == "." and _is_no_end(text[: found.end()]):
            continue
        yield found.end()


def _is_no_end(text: str) -> bool:
    found = _WORD.search(text[-32:])
    word = found[0].lstrip("\"'([“‘«").lower() if found else ""  # noqa: RUF001
    return word in _ABBREVIATIONS or (len(word) == 2 and word[0].isalpha() and word != "i.") or word[:-1].isdecimal()  # noqa: PLR2004
