"""The reward of a reply, behind a crisis gate: r = (trust + similarity) / 2 (MultiMood, Le et al., AAAI-26).

Both halves are in 0..1. Two things differ from the paper. A failed crisis gate is the minimum whatever the scores. And
in live traffic there is no reference reply to be similar to: the reward is then the trust half alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from multimood import assets
from multimood.errors import ConfigurationError
from multimood.safety.verdict import Verdict
from multimood.taxonomy import CRITERIA
from multimood.trust.case import LEAST, MOST
from multimood.trust.patterns import ReplyRules, shipped_rules
from multimood.trust.scores import TrustScores

ASSET: Final = "trust_weights.toml"
MINIMUM: Final = 0.0


class WeightsFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edition: str = Field(pattern=r"^\d{4}\.\d{2}(\.\d+)?$")
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrustWeights:
    """How much each criterion counts in the mean."""

    weights: Mapping[str, float]
    version: str

    @classmethod
    def load(cls, path: Path | None = None) -> "TrustWeights":
        """Read the shipped weights, or an operator's own file.

        Raises:
            ConfigurationError: unreadable, a criterion missing or unknown, a negative weight, or all zero.
        """
        content, raw = assets.read_toml(WeightsFile, ASSET, path)
        if set(content.weights) != set(CRITERIA):
            raise ConfigurationError(
                f"{path or ASSET}: weights for {sorted(content.weights)}: wanted {', '.join(CRITERIA)}"
            )
        if min(content.weights.values()) < 0 or not 0 < sum(content.weights.values()) < float("inf"):
            raise ConfigurationError(f"{path or ASSET}: weights must be finite, not negative, and not all zero")
        return cls(content.weights, assets.version("weights", content.edition, raw))


def reward(
    scores: TrustScores, crisis_failed: bool, similarity: float | None = None, weights: TrustWeights | None = None
) -> float | None:
    """Compute the reward in 0..1, or None when nobody scored anything.

    `similarity` is in 0..1, between the reply and a reference; None when there is no reference. Criteria that nobody
    scored are left out of the weighted mean, not counted as bad.

    Raises:
        ValueError: `similarity` outside 0..1.
    """
    if similarity is not None and not 0.0 <= similarity <= 1.0:
        raise ValueError(f"similarity is {similarity}: it must be in 0..1")
    if crisis_failed:
        return MINIMUM
    by_criterion = (weights or _shipped_weights()).weights
    given = [(by_criterion[score.criterion], score.score) for score in scores.scores if score.score is not None]
    total = sum(weight for weight, _ in given)
    if total <= 0:
        return None
    trust = sum(weight * (score - LEAST) / (MOST - LEAST) for weight, score in given) / total
    return trust if similarity is None else (trust + similarity) / 2


@lru_cache(maxsize=1)
def _shipped_weights() -> TrustWeights:
    return TrustWeights.load()


def crisis_gate_failed(verdict: Verdict | None, reply: str, *, vetted: bool, rules: ReplyRules | None = None) -> bool:
    """Say whether a reply broke the crisis rule: generated and answering a crisis, unscreened, or encouraging harm."""
    if vetted:
        return False
    if verdict is None or verdict.crisis:
        return True
    return any(fault.severe for fault in (rules or shipped_rules()).find(reply))
