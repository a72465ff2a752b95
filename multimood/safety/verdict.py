"""What a screening says."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Level: TypeAlias = Literal["none", "low", "elevated", "imminent"]

LEVELS: Final[tuple[Level, ...]] = ("none", "low", "elevated", "imminent")
"""In rising order. From "elevated" on the person gets the vetted reply and nothing else."""

CRISIS: Final[Level] = "elevated"


def rank(level: Level) -> int:
    """Position of a level in `LEVELS`, to compare two of them."""
    return LEVELS.index(level)


def higher(left: Level, right: Level) -> Level:
    """Pick the graver of two levels."""
    return left if rank(left) >= rank(right) else right


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sentinel's opinion of one utterance; holds no word of it."""

    level: Level
    rules: tuple[str, ...]
    """Ids of what fired, sorted; a prefix tells why one counted less: `negated:`, `reported:`, `other:`, ..."""
    score: float
    """The classifier's estimate that this is crisis language, 0..1."""
    version: str

    @property
    def crisis(self) -> bool:
        """Whether the vetted reply is due."""
        return rank(self.level) >= rank(CRISIS)
