"""What the service would know of a dialogue at a moment: what was said, and what it perceived itself. Pure.

Nothing here comes from anybody's labels. What a supporter of the corpus said stands where the service's own reply would
stand (teacher forcing), without a strategy: the model did not choose those words.
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
    vector: bytes = b""
    emotion: Mapping[str, float] = field(default_factory=dict)


class Past:
    """A dialogue so far. Persons (role user) are told apart by name; to each, all others are the ones who answer."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._said: list[_Said] = []
        self._steps: dict[str, int] = {}

    def heard(self, speaker: str, text: str, vector: bytes, perception: Perception) -> None:
        """A person said something, and it was perceived; `vector` is that of the words, packed."""
        self._steps[speaker] = self._steps.get(speaker, 0) + 1
        self._said.append(_Said(speaker, "user", text, vector, perception.emotion))

    def answered(self, text: str, vector: bytes) -> None:
        """Somebody who stands for the system said something."""
        self._said.append(_Said("", "system", text, vector))

    def state(self, speaker: str) -> pb.Conversation | None:
        """The conversation with that person as the strategist keeps it; None before anything was said."""
        if not self._said:
            return None
        return pb.Conversation(turns=self._turns(speaker), steps=self._steps.get(speaker, 0))

    def _turns(self, speaker: str) -> list[pb.Turn]:
        """What others say answers nothing: it stays when what it followed has left."""
        turns: list[pb.Turn] = []
        count = self._steps.get(speaker, 0)
        for said in reversed(self._said[-self._kept.turns :]):
            text = shortened(said.text, self._kept.turn_chars)
            if said.role == "user" and said.speaker == speaker:
                emotion = [pb.Probability(label=label, p=p) for label, p in said.emotion.items()]
                turns.append(
                    pb.Turn(
                        role=pb.ROLE_USER, text=text, utterance_id=str(count), label=likeliest(said.emotion),
                        vector=said.vector, emotion=emotion,
                    )
                )  # fmt: skip
                count -= 1
            else:
                turns.append(pb.Turn(role=pb.ROLE_SYSTEM, text=text, vector=said.vector))
        return turns[::-1]


def likeliest(distribution: Mapping[str, float]) -> str:
    """The label with the highest probability, the first of equals; "" of none."""
    return max(distribution, key=lambda label: distribution[label]) if distribution else ""
