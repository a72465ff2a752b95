"""What the dialogue network looks like, whoever runs it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES, STAGES

QUERIES: Final = ("feeling", "support")
HEADS: Final[Mapping[str, tuple[str, int]]] = {
    "emotion": ("feeling", len(EMOTIONS)),
    "intensity": ("feeling", 1),
    "strategy_mesc": ("support", len(MESC_STRATEGIES)),
    "strategy_esconv": ("support", len(ESCONV_STRATEGIES)),
    "stage": ("support", len(STAGES)),
    "system_emotion": ("support", len(EMOTIONS)),
}
"""By output: which query's answer it is read off, and its size."""
PACES: Final = 3
"""What is made of the step: itself, its root, and one."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Of the network. `told`: the emotions whose shares the support heads are told."""

    members: int = 5
    width: int = 160
    layers: int = 2
    heads: int = 4
    wide: int = 2
    told: int = len(EMOTIONS)
