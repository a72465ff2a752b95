"""What an acknowledgement may say. Pure."""

from typing import Final

from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from services.gateway.outcomes import Outcome
from services.gateway.refusals import InvalidRequestError
from services.gateway.turn import check_id

MOST_BY: Final = 64
MOST_NOTE: Final = 500


def check_acknowledgement(request: gw.AcknowledgeRequest, tenant: str) -> pb.Acknowledgement:
    """Make the event that an acknowledgement is. Raises InvalidRequestError."""
    context = pb.Context(
        tenant=tenant, conversation_id=check_id("conversation_id", request.conversation_id),
        utterance_id=check_id("utterance_id", request.utterance_id), occurred_at_us=now_us(),
    )  # fmt: skip
    by = request.by.strip()
    if not by or len(by) > MOST_BY or not by.isprintable():
        raise InvalidRequestError(
            "by", f"{len(by)} characters", f"say who takes over, in 1 to {MOST_BY} printable characters"
        )
    if len(request.note) > MOST_NOTE:
        raise InvalidRequestError("note", f"{len(request.note)} characters", f"send at most {MOST_NOTE}")
    return pb.Acknowledgement(
        context=context, escalation_id=check_id("escalation_id", request.escalation_id), by=by, note=request.note,
        acknowledged_at_us=now_us(),
    )  # fmt: skip


def check_names_its_escalation(request: gw.AcknowledgeRequest, outcome: Outcome | None) -> None:
    """Refuse what cannot be meant, as far as the utterance is known here. Raises InvalidRequestError.

    A mistake would else be found out only by the notices that go on. Of an utterance that is not known any more, the
    escalation's own records say nothing here: that acknowledgement is believed.
    """
    if outcome is None or outcome.reply is None:
        return
    if outcome.escalation is None:
        raise InvalidRequestError("utterance_id", "it was not escalated", "send the context of the escalation")
    if outcome.escalation.escalation_id != request.escalation_id:
        raise InvalidRequestError(
            "escalation_id", "not the one of this utterance", "send both as the escalation has them"
        )
