"""Correction for the policy that wrote a log: importance weights of logged replies, truncated.

A logged reply y to a chat x was drawn from the policy mu that served then, and is learned from as if the model that is
taught had written it. Its weight is

    w = min(pi(y | x) / mu(y | x), c)          truncated importance sampling (Ionides, JCGS 2008)

with pi the model as it is when the run begins and mu(y | x) what the log's token log-probabilities say. It enters where
examples are drawn, not in a loss, so that every trainer can have it and the log can be a stream: a reply comes
floor(w + u) times, u uniform in 0..1, which is w times on average (sampling importance resampling, Rubin 1988). Of a
pair the weights multiply. Both probabilities are those before temperature and top_p: the ratio is that of two models,
served alike, and the log tells no other.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Final

MOST: Final = 4.0
"""c: no reply counts more than so often."""
_DIGITS: Final = 8


def weight(new: float, logged: float, most: float = MOST) -> float:
    """min(exp(new - logged), most), of two log-probabilities of one reply."""
    return math.exp(min(new - logged, math.log(most)))


def copies(weighted: float, name: str, seed: int) -> int:
    """How often an example of this weight comes: `weighted` on average over names, the same for a name and a seed."""
    raw = hashlib.sha256(f"{seed}/{name}".encode()).digest()[:_DIGITS]
    return int(weighted + int.from_bytes(raw, "big") / (1 << 8 * _DIGITS))


@dataclass(slots=True)
class Corrected:
    """What became of the log's replies, for the run's metrics: in constant memory."""

    weighted: int = 0
    """With a weight of their own."""
    unknown: int = 0
    """Their server told no log-probabilities: they count once."""
    other_prompt: int = 0
    """They were written to another prompt than would be rendered now, so there is no ratio: they count once."""
    truncated: int = 0
    total: float = 0.0
    squares: float = 0.0

    def note(self, weighted: float, most: float = MOST) -> None:
        """Count a weight."""
        self.weighted += 1
        self.truncated += weighted >= most * (1 - 1e-9)
        self.total += weighted
        self.squares += weighted * weighted

    def as_json(self) -> dict[str, float | int]:
        """Counts, the mean weight, and Kish's effective sample size as a share: (sum w)^2 / (n sum w^2)."""
        mean = self.total / self.weighted if self.weighted else 1.0
        share = self.total**2 / self.squares / self.weighted if self.squares else 1.0
        return {
            "weighted": self.weighted, "unknown": self.unknown, "other_prompt": self.other_prompt,
            "truncated": self.truncated, "mean_weight": mean, "effective_share": share,
        }  # fmt: skip
