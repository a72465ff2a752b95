"""From a decision to the chat that a language model continues: a template file, versioned and hashed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field

from multimood import assets
from multimood.errors import ConfigurationError
from multimood.generation.ask import ChatMessage
from multimood.generation.dialogue import Said, messages_of
from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES, STAGES

ASSET: Final = "reply_prompt.toml"
OTHERS: Final = "others"
STRATEGIES: Final = tuple(dict.fromkeys((*MESC_STRATEGIES, *ESCONV_STRATEGIES)))


class PromptFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edition: str = Field(pattern=r"^\d{4}\.\d{2}(\.\d+)?$")
    system: str = Field(min_length=1)
    wordless: str = Field(min_length=1)
    least_likely: float = Field(ge=0, le=1)
    emotions: Mapping[str, str]
    stages: Mapping[str, str]
    strategies: Mapping[str, str]
    languages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Situation:
    """What was perceived and decided, by the labels of multimood.taxonomy. An unknown label counts as none."""

    strategy: str
    emotion: str = ""
    emotion_p: float = 0.0
    intensity: float = 0.0
    stage: str = ""
    system_emotion: str = ""
    locale: str = ""


class ReplyPrompt:
    """The templates and the lines for every label."""

    def __init__(self, content: PromptFile, version: str) -> None:
        """Raise `ConfigurationError` for a label without its line, or a template that cannot be rendered."""
        self.version: Final = version
        self._content = content
        for name, labels in (("emotions", EMOTIONS), ("stages", STAGES), ("strategies", STRATEGIES)):
            if missing := set(labels) - set(getattr(content, name)):
                raise ConfigurationError(f"{version}: [{name}] lacks {', '.join(sorted(missing))}: write every one")
        # No HTML: the result is read by a model. No words of a person go through it, only lines of this file.
        environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        try:
            self._system = environment.from_string(content.system.strip())
            self._wordless = environment.from_string(content.wordless.strip())
            # Whatever a template makes depend on a label is met here, and not with the first such utterance.
            for emotion, stage, locale in product(("", *EMOTIONS), ("", *STAGES), ("", "en", "de")):
                self.render(Situation(OTHERS, emotion, 1.0, 1.0, stage, emotion, locale), (), 1)
        except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise ConfigurationError(f"{version}: a template cannot be rendered: {error}") from error

    @classmethod
    def load(cls, path: Path | None = None) -> "ReplyPrompt":
        """Read the shipped prompt, or an operator's own file.

        Raises:
            ConfigurationError: the file cannot be read or is not complete.
        """
        content, raw = assets.read_toml(PromptFile, ASSET, path)
        return cls(content, assets.version("reply-prompt", content.edition, raw))

    def render(self, situation: Situation, dialogue: Sequence[Said], budget: int) -> list[ChatMessage]:
        """The chat: what to do, then the newest of the dialogue within `budget` characters, the person's turn last."""
        content = self._content
        likely = situation.emotion_p >= content.least_likely
        fields = {
            "emotion": content.emotions.get(situation.emotion, "") if likely else "",
            "emotion_p": situation.emotion_p,
            "intensity": situation.intensity,
            "stage": content.stages.get(situation.stage, ""),
            "strategy": content.strategies.get(situation.strategy, content.strategies[OTHERS]),
            "strategy_name": situation.strategy if situation.strategy in content.strategies else OTHERS,
            "system_emotion": situation.system_emotion if situation.system_emotion in content.emotions else "",
            "language": content.languages.get(situation.locale.replace("_", "-").split("-")[0].lower(), ""),
        }
        system = " ".join(self._system.render(fields).split())
        return [
            ChatMessage("system", system),
            *messages_of(dialogue, budget, self._wordless.render(fields)),
        ]
