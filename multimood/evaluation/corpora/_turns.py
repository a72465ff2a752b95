"""What the readers of dialogues share."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from multimood.evaluation.rows import Role
from multimood.evaluation.source import Source

Turn = Mapping[str, Any]


def spoken(source: Source, turns: Any, text: Sequence[str], roles: Mapping[str, Role]) -> list[tuple[Role, str, Turn]]:
    """Role, words and record of each turn that has both; `text` are names that the words may have."""
    found = []
    for turn in turns if isinstance(turns, list) else ():
        speaker = turn.get("speaker") if isinstance(turn, dict) else None
        role = roles.get(speaker.strip().lower()) if isinstance(speaker, str) else None
        words = next((turn[name] for name in text if isinstance(turn.get(name), str)), None) if role else None
        if role is None or words is None:
            source.note("corrupt utterances left out")
            continue
        found.append((role, words.strip(), turn))
    return found


def merged(
    turns: Sequence[tuple[Role, str, Turn]], whose: Callable[[Role], bool] = lambda _role: True
) -> Iterator[tuple[Role, str, list[Turn]]]:
    """Consecutive utterances of a speaker as one turn, of those speakers whose utterances are to be merged."""
    for role, run in groupby(turns, key=lambda turn: turn[0]):
        said = list(run)
        for together in [said] if whose(role) else [[one] for one in said]:
            yield role, " ".join(text for _, text, _ in together if text), [turn for _, _, turn in together]
