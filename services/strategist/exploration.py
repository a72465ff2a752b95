"""What is added to the model's own distribution so that the log can teach, with exact probabilities. Pure.

An exploration turns the model's distribution p over the eligible strategies into the behaviour policy b, from which the
strategy is drawn. A choice is called explored with the probability that it owes to the exploration, given that it was
drawn: with epsilon that is the same as tossing the coin first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["none", "epsilon", "temperature"]

FLOOR: Final = 1e-9
"""Least probability before a temperature is applied: what the model rounds to nothing is still eligible."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """A rule and its parameter."""

    kind: Kind = "none"
    amount: float = 0.0
    """Epsilon's share, 0..1; or the temperature, at least 1."""

    @property
    def name(self) -> str:
        """As the log has it."""
        return self.kind if self.kind == "none" else f"{self.kind}={self.amount:g}"

    def behaviour(self, model: Mapping[str, float], names: Sequence[str]) -> "Behaviour":
        """The policy over `names`, which sums to 1.

        The model's probabilities are first scaled to sum to 1 over them; if it gives them nothing, uniform.
        epsilon: b = (1 - epsilon) p + epsilon / n, the epsilon-soft policy (Sutton and Barto 2018, section 5.4).
        temperature: b = p^(1/T), scaled; T = 1 is the model's own.
        """
        own = scaled({name: model[name] for name in names})
        match self.kind:
            case "none":
                return Behaviour(own, dict.fromkeys(names, 0.0))
            case "epsilon":
                share = self.amount / len(names)
                mixed = scaled({name: (1 - self.amount) * p + share for name, p in own.items()})
                return Behaviour(mixed, {name: min(1.0, share / p) for name, p in mixed.items()})
            case "temperature":
                flat = scaled({name: max(p, FLOOR) ** (1 / self.amount) for name, p in own.items()})
                return Behaviour(flat, {name: max(0.0, 1 - own[name] / p) for name, p in flat.items()})


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The behaviour policy."""

    strategy: Mapping[str, float]
    """Sums to 1."""
    added: Mapping[str, float]
    """Of each strategy's probability, the share that exploration added, 0..1."""


def scaled(weights: Mapping[str, float]) -> dict[str, float]:
    """To the sum 1; uniform when there is nothing to scale."""
    total = sum(weights.values())
    if not total > 0:
        return dict.fromkeys(weights, 1 / len(weights))
    return {name: weight / total for name, weight in weights.items()}
