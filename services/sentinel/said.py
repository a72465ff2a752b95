"""What has been said of utterances so far, by this process, an earlier one, or another service. Pure."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety.risk import outranks

REMEMBERED: Final = 50_000


@dataclass(slots=True)
class _Known:
    screened: pb.RiskLevel = pb.RISK_LEVEL_UNSPECIFIED
    escalated: pb.RiskLevel = pb.RISK_LEVEL_UNSPECIFIED
    replied: bool = False


class Said:
    """Per utterance the gravest verdict and escalation, and whether it has a reply; of the newest `most` utterances."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._known: OrderedDict[tuple[str, str, str], _Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, message: Message) -> None:
        """Take note of a record that is on the bus."""
        name = _name(message)
        known = self._known.setdefault(name, _Known())
        self._known.move_to_end(name)
        match message:
            case pb.Screening() if outranks(message.level, known.screened):
                known.screened = message.level
            case pb.Escalation() if outranks(message.level, known.escalated):
                known.escalated = message.level
            case pb.Reply():
                known.replied = True
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def lacks(self, message: Message) -> bool:
        """Tell whether publishing this would say something new."""
        known = self._known.get(_name(message))
        match message:
            case _ if known is None:
                return True
            case pb.Screening():
                return outranks(message.level, known.screened)
            case pb.Escalation():
                return outranks(message.level, known.escalated)
            case _:
                return not known.replied


def _name(message: Message) -> tuple[str, str, str]:
    context: pb.Context = message.context  # type: ignore[attr-defined]
    return context.tenant, context.conversation_id, context.utterance_id
