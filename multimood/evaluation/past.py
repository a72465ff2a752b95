"""What the service would know of a dialogue at a moment: what was said, and what it perceived itself. Pure.

Nothing here comes from anybody's labels. What a supporter of the corpus said stands where the service's own reply would
stand (teacher forcing), with the strategy that the model itself held likeliest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from multimood.contracts.v1 import events_pb2 as pb
from multimood.evaluation.rows import Role
from multimood.perception.conversation import shortened
from multimood.perception.fusion import Perception
from multimood.perception.settings import PerceptionSettings

Kept = PerceptionSettings


@dataclass(frozen=True, slots=True)
class _Said:
    speaker: str
    role: Role
    text: str
    label: str = ""


@dataclass(slots=True)
class _Felt:
    """Of one person: how the last turn was perceived, what was chosen after it, how many turns there were."""

    emotion: Mapping[str, float] = field(default_factory=dict)
    chosen: str = ""
    steps: int = 0


class Past:
    """A dialogue so far. Persons (role user) are told apart by name; to each, all others are the ones who answer."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._said: list[_Said] = []
        self._felt: dict[str, _Felt] = {}

    def heard(self, speaker: str, text: str, perception: Perception) -> None:
        """A person said something, and it was perceived."""
        felt = self._felt.setdefault(speaker, _Felt())
        felt.emotion, felt.chosen, felt.steps = perception.emotion, likeliest(perception.strategy), felt.steps + 1
        self._said.append(_Said(speaker, "user", text, likeliest(perception.emotion)))

    def answered(self, text: str, chosen: str) -> None:
        """The system said something."""
        self._said.append(_Said("", "system", text, chosen))

    def state(self, speaker: str) -> pb.Conversation | None:
        """The conversation with that person as the strategist keeps it; None before anything was said."""
        if not self._said:
            return None
        felt = self._felt.get(speaker, _Felt())
        return pb.Conversation(
            turns=self._turns(speaker),
            steps=felt.steps,
            emotion=[pb.Probability(label=label, p=p) for label, p in felt.emotion.items()],
            strategy=felt.chosen,
        )

    def _turns(self, speaker: str) -> list[pb.Turn]:
        """What others say one after the other is one answer."""
        turns: list[pb.Turn] = []
        count = 0
        for said in self._said[-4 * self._kept.turns :]:
            if said.role == "user" and said.speaker == speaker:
                count += 1
                turns.append(pb.Turn(role=pb.ROLE_USER, text=said.text, utterance_id=str(count), label=said.label))
            elif turns and turns[-1].role == pb.ROLE_SYSTEM:
                turns[-1].text = f"{turns[-1].text} {said.text}"
            else:
                label = said.label if said.role == "system" else ""
                turns.append(pb.Turn(role=pb.ROLE_SYSTEM, text=said.text, utterance_id=str(count), label=label))
        for turn in turns:
            turn.text = shortened(turn.text, self._kept.turn_chars)
        return trimmed(turns, self._kept.turns)


def trimmed(turns: list[pb.Turn], most: int) -> list[pb.Turn]:
    """At most `most`: an utterance leaves with its answer, as in `multimood.perception.conversation`."""
    first = max(0, len(turns) - most)
    while 0 < first < len(turns) and turns[first].role == pb.ROLE_SYSTEM:
        first += 1
    return turns[first:]


def likeliest(distribution: Mapping[str, float]) -> str:
    """The label with the highest probability, the first of equals; "" of none."""
    return max(distribution, key=lambda label: distribution[label]) if distribution else ""
