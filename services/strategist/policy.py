"""From the model's distribution to the executed strategy: who is eligible, exploration, a repeatable draw. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import Final

from multimood.perception.fusion import Taxonomy
from multimood.taxonomy import ESCONV_STRATEGIES, MESC_STRATEGIES

STRATEGIES: Final[Mapping[Taxonomy, tuple[str, ...]]] = MappingProxyType(
    {"mesc": MESC_STRATEGIES, "esconv": ESCONV_STRATEGIES}
)
NO_INSTRUCTION: Final = frozenset({"others"})
"""No reply can be written by it: never eligible."""
ADVICE: Final = frozenset({"advisement", "providing suggestions", "information"})
"""ESConv's third stage (Liu et al., ACL 2021): not before the person has been heard, so not in the first turn."""
RULES: Final = "rules-1"
"""Names the two sets above in the policy's version; raise it with them."""

_BITS: Final = 53


@dataclass(frozen=True, slots=True)
class Choice:
    """The behaviour policy at this moment and what was drawn from it."""

    strategy: Mapping[str, float]
    """Over the eligible strategies, each > 0; sums to 1."""
    chosen: str
    propensity: float


def eligible(taxonomy: Taxonomy, step: int) -> tuple[str, ...]:
    """The strategies that may be chosen in the person's turn number `step` (from 0)."""
    barred = NO_INSTRUCTION if step else NO_INSTRUCTION | ADVICE
    return tuple(name for name in STRATEGIES[taxonomy] if name not in barred)


def mixed(model: Mapping[str, float], names: Sequence[str], epsilon: float) -> dict[str, float]:
    """Epsilon-soft policy (Sutton and Barto 2018, section 5.4): (1 - epsilon) model + epsilon uniform, over `names`.

    The model's probabilities are first scaled to sum to 1 over `names`; if it gives them nothing, uniform.
    """
    total = sum(model[name] for name in names)
    share = 1 / len(names)
    own = {name: model[name] / total if total > 0 else share for name in names}
    result = {name: (1 - epsilon) * own[name] + epsilon * share for name in names}
    scale = sum(result.values())
    return {name: p / scale for name, p in result.items()}


def choose(model: Mapping[str, float], taxonomy: Taxonomy, step: int, epsilon: float, seed: str) -> Choice:
    """Draw a strategy. The same arguments always give the same choice."""
    strategy = mixed(model, eligible(taxonomy, step), epsilon)
    chosen = draw(strategy, seed)
    return Choice(strategy, chosen, strategy[chosen])


def draw(distribution: Mapping[str, float], seed: str) -> str:
    """Draw a label by the inverse of the cumulative distribution, at a point in [0, 1) made of the seed by SHA-256."""
    point = (int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) >> (64 - _BITS)) / (1 << _BITS)
    passed = accumulate(distribution.values())
    # The last label stands in should rounding have left the sum a hair below the point.
    return next(
        (label for label, end in zip(distribution, passed, strict=True) if point < end), tuple(distribution)[-1]
    )
