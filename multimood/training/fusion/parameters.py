"""Everything the fusion model learned, before it becomes a graph."""

from dataclasses import dataclass
from typing import Final

from multimood.taxonomy import EMOTIONS, MODALITIES
from multimood.training.fusion.network import Floats, Network
from multimood.training.fusion.support import Support

MASKS: Final = 1 << len(MODALITIES)
"""A mask is text + 2 audio + 4 video."""
DEPRESSION: Final = EMOTIONS.index("depression")
SADNESS: Final = EMOTIONS.index("sadness")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Heads with logits [8], temperatures [3], and per mask: weights [8, 3] and offsets [8, 8].

    The fused emotion of mask k is softmax(sum_m weight[k, m] log p_m + offset[k] + previous inertia + shift), the last
    two only where there was a turn before. log p_m of sound and picture, which know no depression, has sadness' value
    in its place. What of sound and picture is beyond `bounds` ([2, d], lowest and highest) counts as the bound.
    """

    text: Network
    audio: Network
    video: Network
    bounds: tuple[Floats, Floats]
    """Of the inputs of sound and picture; words are unit vectors."""
    temperatures: Floats
    weights: Floats
    offsets: Floats
    inertia: Floats
    shift: Floats
    support: Support
    arousal: Network
    """Logits [2] of a strong and a normal voice."""

    def __post_init__(self) -> None:
        assert self.weights.shape == (MASKS, len(MODALITIES))
        assert self.offsets.shape == (MASKS, len(EMOTIONS))
