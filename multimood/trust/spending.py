"""What a judge that is paid by the token has cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from multimood.telemetry import meter

_tokens = meter().create_counter("multimood.judge.tokens", description="Tokens of judging models: prompt, completion")
_answers = meter().create_counter("multimood.judge.answers", description="Answers of judging models: model, kept")
_cost = meter().create_counter("multimood.judge.cost", description="Cost of judging models, in the prices' currency")

PER: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a million tokens, in whatever currency."""

    prompt: float = 0.0
    completion: float = 0.0


@dataclass(slots=True)
class Spending:
    """Answers, tokens and cost so far, of one judge."""

    model: str
    prices: Prices = field(default_factory=Prices)
    asked: int = 0
    """Answers by the model, unusable ones too: they cost the same."""
    kept: int = 0
    """Answers that had been given before."""
    uncounted: int = 0
    """Answers whose tokens the endpoint did not tell: what they cost is not known and not in the sums."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def cost(self) -> float:
        """In the prices' currency; 0 without prices."""
        return self._cost_of(self.prompt_tokens, self.completion_tokens)

    def remembered(self) -> None:
        """Count an answer that cost nothing."""
        self.kept += 1
        _answers.add(1, {"model": self.model, "from": "kept"})

    def answered(self, usage: Any) -> None:
        """Count an answer, with the endpoint's `usage` if it gave one."""
        self.asked += 1
        _answers.add(1, {"model": self.model, "from": "model"})
        self.uncounted += not isinstance(usage, Mapping) or "prompt_tokens" not in usage
        prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        _tokens.add(prompt, {"model": self.model, "kind": "prompt"})
        _tokens.add(completion, {"model": self.model, "kind": "completion"})
        _cost.add(self._cost_of(prompt, completion), {"model": self.model})

    def _cost_of(self, prompt: int, completion: int) -> float:
        return (prompt * self.prices.prompt + completion * self.prices.completion) / PER


def _count(usage: Any, name: str) -> int:
    found = usage.get(name) if isinstance(usage, Mapping) else None
    return found if type(found) is int and found >= 0 else 0
