"""A judge answers the rubric's questions about a conversation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from multimood.evaluation.vera.rubric import Rubric
from multimood.evaluation.vera.seekers import Turn


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said, and what the system did besides."""

    turns: tuple[Turn, ...]
    escalated: bool = False
    """Whether a human was told."""
    vetted: int = 0
    """Replies that people had written and approved."""

    @property
    def replies(self) -> tuple[str, ...]:
        """What the system said."""
        return tuple(turn.text for turn in self.turns if not turn.seeker)


class Judge(Protocol):
    """Answers questions."""

    version: str

    async def answers(self, rubric: Rubric, conversation: Conversation) -> Mapping[str, str]:
        """Answer by question id, each one of the question's options; what it cannot tell is absent.

        Raises:
            MultimoodError: it cannot judge now.
        """


def option(options: Sequence[str], wanted: str) -> str | None:
    """The option that begins as wanted, whatever the case."""
    return next((one for one in options if one.lower().startswith(wanted.lower())), None)
