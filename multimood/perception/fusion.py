"""What the fusion model is asked, and what its answer says. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from multimood.contracts.v1 import events_pb2 as pb
from multimood.encoding import vector_of
from multimood.errors import MultimoodError
from multimood.history import History
from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES, STAGES

Taxonomy = Literal["mesc", "esconv"]
"""Whose strategies are chosen from."""

MODALITIES: Final = (pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO)
_INPUT: Final = MappingProxyType(
    {pb.MODALITY_TEXT: ("text", 384), pb.MODALITY_AUDIO: ("audio", 256), pb.MODALITY_VIDEO: ("video", 512)}
)
WIDTHS: Final[Mapping[pb.Modality, int]] = MappingProxyType({one: width for one, (_, width) in _INPUT.items()})
"""Of the vectors that the shipped fusion model takes."""
_STRATEGY: Final[Mapping[Taxonomy, tuple[str, tuple[str, ...]]]] = MappingProxyType(
    {"mesc": ("strategy_mesc", MESC_STRATEGIES), "esconv": ("strategy_esconv", ESCONV_STRATEGIES)}
)
_SLACK: Final = 1e-3
"""How far from 1 a distribution's sum may be before it is no rounding."""

Outputs = Mapping[str, NDArray[Any]]


class UnusableAnswerError(MultimoodError):
    """The fusion model's answer is not what its contract promises; another fusion model must be served."""

    code = "unusable_answer"


@dataclass(frozen=True, slots=True)
class Sight:
    """The vectors of an utterance that can be used, and the modalities whose vector cannot."""

    vectors: Mapping[pb.Modality, NDArray[np.float32]] = field(default_factory=dict)
    unusable: Sequence[pb.Modality] = ()


@dataclass(frozen=True, slots=True)
class Perception:
    """Distributions by label, each summing to 1."""

    emotion: Mapping[str, float]
    by_modality: Mapping[pb.Modality, Mapping[str, float]]
    intensity: float
    stage: str
    system_emotion: Mapping[str, float]
    strategy: Mapping[str, float]
    model_version: str


def see(features: pb.Features, widths: Mapping[pb.Modality, int] = WIDTHS) -> Sight:
    """Collect the vectors that fit the model. One of another size or with a number that is none is left out."""
    vectors: dict[pb.Modality, NDArray[np.float32]] = {}
    unusable = []
    for embedding in features.embeddings:
        try:
            vector = vector_of(embedding).reshape(-1)
        except ValueError:
            vector = np.empty(0, np.float32)
        if len(vector) == widths.get(embedding.modality) and np.isfinite(vector).all():
            vectors[embedding.modality] = vector
        else:
            unusable.append(embedding.modality)
    return Sight(vectors, tuple(unusable))


def question(
    sight: Sight, history: History, widths: Mapping[pb.Modality, int] = WIDTHS
) -> dict[str, NDArray[np.float32]]:
    """The model's inputs for one utterance and what was before it."""
    inputs = {
        name: sight.vectors.get(modality, np.zeros(widths[modality], np.float32))[None]
        for modality, (name, _) in _INPUT.items()
    }
    inputs["present"] = np.array([[modality in sight.vectors for modality in MODALITIES]], np.float32)
    inputs |= {name: array[None] for name, array in history._asdict().items()}
    return inputs


def answer_shapes(taxonomy: Taxonomy) -> dict[str, tuple[int, ...]]:
    """What is read of the model's answer: the shape of each output for one utterance, float32."""
    name, labels = _STRATEGY[taxonomy]
    return {
        "emotion": (len(EMOTIONS),),
        "modality_emotion": (len(MODALITIES), len(EMOTIONS)),
        "intensity": (1,),
        "stage": (len(STAGES),),
        "system_emotion": (len(EMOTIONS),),
        name: (len(labels),),
    }


def perceive(outputs: Outputs, model_version: str, sight: Sight, taxonomy: Taxonomy) -> Perception:
    """Read the model's answer.

    Raises:
        UnusableAnswerError: an output is missing, of another size, not finite, or no distribution.
    """
    shapes = answer_shapes(taxonomy)
    found = {output: _array(outputs, output, shape) for output, shape in shapes.items()}
    each = found["modality_emotion"]
    stage = _distribution(found["stage"], STAGES, "stage")
    name, labels = _STRATEGY[taxonomy]
    return Perception(
        emotion=_distribution(found["emotion"], EMOTIONS, "emotion"),
        by_modality={
            modality: _distribution(each[place], EMOTIONS, "modality_emotion")
            for place, modality in enumerate(MODALITIES)
            if modality in sight.vectors
        },
        intensity=float(np.clip(found["intensity"][0], 0, 1)),
        stage=max(stage, key=lambda label: stage[label]),
        system_emotion=_distribution(found["system_emotion"], EMOTIONS, "system_emotion"),
        strategy=_distribution(found[name], labels, name),
        model_version=model_version,
    )


def _array(outputs: Outputs, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = outputs.get(name)
    if array is None or array.shape != (1, *shape):
        found = None if array is None else list(array.shape)
        raise UnusableAnswerError(
            f"output {name} has shape {found}, expected {[1, *shape]}: serve this version's fusion"
        )
    if not np.isfinite(array).all():
        raise UnusableAnswerError(f"output {name} is not finite: serve this version's fusion model")
    values: NDArray[np.float64] = array[0].astype(np.float64)
    return values


def _distribution(values: NDArray[np.float64], labels: Sequence[str], name: str) -> dict[str, float]:
    total = float(values.sum())
    if values.min() < 0 or abs(total - 1) > _SLACK:
        raise UnusableAnswerError(
            f"output {name} sums to {total:.4f} and is no distribution: serve this version's fusion"
        )
    return {label: float(value) / total for label, value in zip(labels, values, strict=True)}
