"""What a Converse call still has to tell, and how long it waits for more. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from services.gateway.outcomes import Outcome

SETTLE_S: Final = 1.0
"""What belongs to a reply is published before it or with it, on other topics: so long it may arrive after it."""


@dataclass(slots=True)
class Narration:
    """Turns a growing outcome into responses, each once. Times are seconds on any one clock."""

    wait_for_trust: bool
    reply_within_s: float
    trust_within_s: float
    started: float
    deltas_told: int = 0
    replied_at: float | None = None
    _told: set[str] = field(default_factory=set)
    _reply: pb.Reply | None = None

    def news(self, outcome: Outcome | None, now: float) -> Iterator[gw.ConverseResponse]:
        """Give what is known and was not told, in the order of the chain; no pieces once the reply is known."""
        if outcome is None:
            return
        if outcome.decision is not None and self._first("decision"):
            yield gw.ConverseResponse(decision=outcome.decision)
        if "reply" not in self._told:
            for delta in outcome.deltas[self.deltas_told :]:
                self.deltas_told += 1
                yield gw.ConverseResponse(delta=delta)
        if outcome.reply is not None and self._first("reply"):
            self.replied_at, self._reply = now, outcome.reply
            yield gw.ConverseResponse(reply=outcome.reply)
        if outcome.escalation is not None and self._first("escalation"):
            yield gw.ConverseResponse(escalation=outcome.escalation)
        if outcome.trust is not None and self.wait_for_trust and self._first("trust"):
            yield gw.ConverseResponse(trust=outcome.trust)
        if outcome.rejected is not None and outcome.reply is None and self._first("rejected"):
            yield gw.ConverseResponse(rejected=outcome.rejected)

    def patience_s(self, now: float) -> float | None:
        """Seconds to wait for more; None when the story is told. Zero or less: it is not, and the time is up."""
        if "rejected" in self._told:
            return None
        if self.replied_at is None or self._reply is None:
            return self.started + self.reply_within_s - now
        waits = [0.0]
        companion = "escalation" if self._reply.source == pb.REPLY_SOURCE_VETTED_CRISIS else "decision"
        if companion not in self._told:
            waits.append(self.replied_at + SETTLE_S - now)
        if self.wait_for_trust and "trust" not in self._told:
            waits.append(self.replied_at + self.trust_within_s - now)
        return max(waits) or None

    def _first(self, what: str) -> bool:
        if what in self._told:
            return False
        self._told.add(what)
        return True
