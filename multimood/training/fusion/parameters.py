"""Everything the fusion model learned, before it becomes a graph."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from multimood.taxonomy import EMOTIONS, MODALITIES
from multimood.training.fusion.shape import Shape
from multimood.training.heads import Floats, Network

MASKS: Final = 1 << len(MODALITIES)
"""A mask is text + 2 audio + 4 video."""
WORDS: Final = 1
"""The mask in which words are all there is; in a greater one voice or face are there."""
DEPRESSION: Final = EMOTIONS.index("depression")
SADNESS: Final = EMOTIONS.index("sadness")


@dataclass(frozen=True, slots=True)
class Heads:
    """Each modality by itself: logits [8], divided by its temperature.

    What of sound and picture is beyond `bounds` ([2, d], lowest and highest) counts as the bound.
    """

    text: Network
    audio: Network
    video: Network
    temperatures: Floats
    bounds: tuple[Floats, Floats]
    arousal: Network
    """Logits [2] of a strong and a normal voice."""


@dataclass(frozen=True, slots=True)
class Attention:
    """How much each modality counts at a moment.

    The fused emotion of mask k is softmax(sum_m weight[k, m] 2 sigmoid(q . key_m) log p_m + offset[k]). Here log p_text
    is the dialogue network's, q [dim] = answer [d] @ query of its "feeling" (mean of the members), and
    key_m = log p_m [8] @ keys[m] + bias[m]. Sound and picture know no depression: what they say of sadness counts for
    it, too. Without voice and face the fused emotion is the dialogue network's: there is nothing to be weighed.
    """

    query: Floats
    """[d, dim]."""
    keys: Floats
    """[3, 8, dim]."""
    biases: Floats
    """[3, dim]."""
    weights: Floats
    """[8 masks, 3]."""
    offsets: Floats
    """[8 masks, 8]."""

    def __post_init__(self) -> None:
        assert self.weights.shape == (MASKS, len(MODALITIES))
        assert self.offsets.shape == (MASKS, len(EMOTIONS))


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parts of the model. `context` are the dialogue network's weights by name, `degrees` temperatures by head."""

    shape: Shape
    context: Mapping[str, Floats]
    degrees: Mapping[str, float]
    heads: Heads
    attention: Attention
