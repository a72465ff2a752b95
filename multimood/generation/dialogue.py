"""A dialogue as chat messages: within a budget, in turns, and unable to be taken for anything but talk. Pure."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from multimood.generation.ask import ChatMessage

ELLIPSIS: Final = " … "
_TAG: Final = re.compile(r"[<\uff1c](?=\s{0,2}[/|!\uff5c]|\s{0,2}[^\W\d_]|[<\uff1c])")
"""An angle bracket that could open a control token: <|im_end|>, </s>, <start_of_turn>, <<SYS>>. A heart (<3) cannot."""
_BRACKETED: Final = re.compile(r"\[(?=\s{0,2}/?[A-Z_]{3,}\])")
"""The other kind: [INST], [/INST], [SYSTEM_PROMPT]."""


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of the dialogue."""

    role: Literal["user", "assistant"]
    text: str


def harmless(text: str) -> str:
    """The text without control characters, and without anything that a chat template would read as structure."""
    plain = "".join(
        letter for letter in text if letter in "\n\t" or unicodedata.category(letter) not in {"Cc", "Cs", "Co"}
    )
    return _BRACKETED.sub("(", _TAG.sub("\u2039", plain)).strip()


def shortened(text: str, most: int) -> str:
    """At most so many characters: a long text keeps its beginning and, twice as much, its end."""
    if len(text) <= most:
        return text
    room = max(0, most - len(ELLIPSIS))
    head = room // 3
    return f"{text[:head].rstrip()}{ELLIPSIS}{text[len(text) - (room - head) :].lstrip()}"


def messages_of(turns: Sequence[Said], budget: int, wordless: str) -> list[ChatMessage]:
    """The newest turns that fit into `budget` characters, oldest first.

    The last turn is the person's own and always there (`wordless` stands for one without words); older ones are taken
    whole or not at all. The first message is the person's, and the roles alternate, as many chat templates demand.
    """
    *older, current = [Said(turn.role, harmless(turn.text)) for turn in turns] or [Said("user", "")]
    if current.role != "user":
        older, current = [*older, current], Said("user", "")
    kept = [Said("user", shortened(current.text, budget) or wordless)]
    left = budget - len(kept[0].text)
    for turn in reversed(older):
        if not turn.text:
            continue
        left -= len(turn.text)
        if left < 0:
            break
        kept.append(turn)
    kept.reverse()
    first = next(number for number, turn in enumerate(kept) if turn.role == "user")
    return [
        ChatMessage(role, "\n".join(turn.text for turn in together))
        for role, together in groupby(kept[first:], key=lambda turn: turn.role)
    ]
