"""Where a reply is to be written: the dialogue, what was decided, and the chat that the responder would ask with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from multimood.generation import ReplyPrompt, Situation
from multimood.generation.dialogue import Said
from multimood.generation.draft import Draft
from multimood.generation.settings import ReplySettings
from multimood.trust.case import TrustCase, Turn
from multimood.trust.guard import MOST_CHARACTERS

Message: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True)
class Context:
    """One place where a reply is wanted. The dialogue ends with the person's turn."""

    name: str
    """Of the place, the same in every run."""
    group: str
    """Of the dialogue: what the bootstrap must not tear apart."""
    situation: Situation
    dialogue: Sequence[Said]
    reference: str = ""
    """What was really answered there; empty: not known, or not to be learned."""
    corpus: str = ""

    def case(self, reply: str) -> TrustCase:
        """A reply as judges see it."""
        turns = tuple(Turn("system" if turn.role == "assistant" else "user", turn.text) for turn in self.dialogue)
        return TrustCase(
            turns, reply, self.situation.emotion or None, self.situation.strategy, self.situation.locale or "en"
        )


@dataclass(frozen=True, slots=True)
class Asking:
    """The responder's own way to ask for a reply, and to end it: its prompt, its limits."""

    prompt: ReplyPrompt
    settings: ReplySettings = field(default_factory=ReplySettings)

    @classmethod
    def load(cls, dialogue_chars: int | None = None, prompt: Path | None = None) -> "Asking":
        """By the responder's settings (MULTIMOOD_RESPONDER_...); `dialogue_chars` in place of theirs, if given.

        Raises:
            ConfigurationError: the prompt cannot be read.
        """
        settings = ReplySettings()
        if dialogue_chars is not None:
            settings = settings.model_copy(update={"dialogue_chars": dialogue_chars})
        return cls(ReplyPrompt.load(prompt or settings.prompt), settings)

    def chat(self, context: Context) -> list[Message]:
        """The chat that a model continues, to the letter as the responder sends it."""
        messages = self.prompt.render(context.situation, context.dialogue, self.settings.dialogue_chars)
        return [{"role": one.role, "content": one.content} for one in messages]

    def is_full(self, text: str) -> bool:
        """Whether the responder would stop the model here: it has as many finished sentences as a reply may have."""
        draft = Draft(most_sentences=self.settings.max_sentences, most_characters=MOST_CHARACTERS)
        draft.add(text)
        return draft.full

    def sent(self, text: str, *, cut: bool) -> str:
        """What the responder would send of a model's text; `cut`: the model did not come to an end by itself."""
        draft = Draft(most_sentences=self.settings.max_sentences, most_characters=MOST_CHARACTERS)
        draft.add(text)
        return draft.finish(cut=cut and not draft.full)
