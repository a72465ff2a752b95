"""What a judge is given of a decision that was published."""

from multimood.contracts.v1 import events_pb2 as pb
from multimood.trust.case import TrustCase, Turn


def case_of(decision: pb.Decision, reply: str) -> TrustCase:
    """A reply to a decision, with the dialogue that the decision was made in."""
    dialogue = tuple(Turn("system" if turn.role == pb.ROLE_SYSTEM else "user", turn.text) for turn in decision.dialogue)
    emotion = max(decision.user_emotion, key=lambda item: item.p, default=None)
    return TrustCase(
        dialogue, reply, emotion.label if emotion else None, decision.chosen or None, decision.context.locale or "en"
    )
