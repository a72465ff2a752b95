"""The state that a choice was made in, as numbers: what an off-policy learner conditions on. Pure.

A version names an ordered list of features and is never changed; another list is another version. The list depends on
the taxonomy that is chosen from, so the version's name holds it: `state-1:mesc`, `state-1:esconv`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.perception.fusion import MODALITIES, Perception, Sight, Taxonomy
from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES, STAGES

STATE: Final = "state-1"
STRATEGIES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"mesc": MESC_STRATEGIES, "esconv": ESCONV_STRATEGIES}
)
"""By taxonomy."""
_MODALITY: Final = {pb.MODALITY_TEXT: "text", pb.MODALITY_AUDIO: "audio", pb.MODALITY_VIDEO: "video"}


@dataclass(frozen=True, slots=True)
class State:
    """Numbers in the order of `names_of(version)`."""

    version: str
    values: tuple[float, ...]


@cache
def names_of(version: str) -> tuple[str, ...]:
    """The features of a version, in order. Raises ValueError for a version that is not known here."""
    name, _, taxonomy = version.partition(":")
    if name != STATE or taxonomy not in STRATEGIES:
        raise ValueError(f"{version!r} is no list of features of this version: known are {', '.join(VERSIONS)}")
    labels = STRATEGIES[taxonomy]
    return (
        *(f"emotion.{label}" for label in EMOTIONS),
        "intensity",
        *(f"stage.{label}" for label in STAGES),
        "step",
        "risk.low",
        *(f"present.{_MODALITY[modality]}" for modality in MODALITIES),
        *(f"model.{label}" for label in labels),
        *(f"last.{label}" for label in labels),
        *(f"used.{label}" for label in labels),
    )


VERSIONS: Final = tuple(f"{STATE}:{taxonomy}" for taxonomy in STRATEGIES)


def state_of(
    perception: Perception,
    sight: Sight,
    *,
    step: int,
    level: pb.RiskLevel,
    before: Iterable[pb.Turn],
    taxonomy: Taxonomy,
) -> State:
    """The state of a decision. `before`: the turns before the person's own, oldest first.

    emotion: the perceived distribution; intensity: 0..1; stage: 1 at the likeliest; step: the turn's number from 0;
    risk.low: 1 when the screening says low; present: 1 for each modality whose vector was used; model: the fusion
    model's own distribution over strategies, before rules and exploration; last: 1 at the strategy of the last reply;
    used: how many of the remembered replies followed each.
    """
    labels: Sequence[str] = STRATEGIES[taxonomy]
    done = [turn.label for turn in before if turn.role == pb.ROLE_SYSTEM]
    return State(
        f"{STATE}:{taxonomy}",
        (
            *(perception.emotion.get(label, 0.0) for label in EMOTIONS),
            perception.intensity,
            *(float(perception.stage == label) for label in STAGES),
            float(step),
            float(level == pb.RISK_LEVEL_LOW),
            *(float(modality in sight.vectors) for modality in MODALITIES),
            *(perception.strategy.get(label, 0.0) for label in labels),
            *(float(bool(done) and done[-1] == label) for label in labels),
            *(float(done.count(label)) for label in labels),
        ),
    )
