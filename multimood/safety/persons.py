"""The persons of many conversations, and what is advised about each of their messages. Pure.

An utterance counts once, as the words that came first: its transcript beside its text is no second message, nor is a
replay, and either is told what was thought when the utterance was counted. Everything is bounded, and nothing is kept
but counts: it is gone with the process or the partition, and a conversation then begins anew. That costs advice only.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety.person import Counts, Person, PersonJudge

ADVICE: Final = "person:low"
"""The rule of a screening whose words have no risk in them and that is low on the judge's word alone."""
CONVERSATIONS: Final = 10_000
UTTERANCES: Final = 32
"""Of a conversation so many are known again. One that is replayed later still counts twice."""


@dataclass(slots=True)
class _Known:
    person: Person = field(default_factory=Person)
    at_risk: OrderedDict[str, bool] = field(default_factory=OrderedDict)
    """By utterance, as it was thought then."""


class Persons:
    """Of the `most` conversations in which something was said last."""

    def __init__(self, judge: PersonJudge, least: float, most: int = CONVERSATIONS) -> None:
        """`least`: the probability from which on a person counts as at risk here, 0..1."""
        self._judge = judge
        self._least = least
        self._most = most
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self.version: Final = judge.version

    def __len__(self) -> int:
        """How many conversations are remembered."""
        return len(self._known)

    def at_risk(self, context: pb.Context, counts: Counts) -> bool:
        """Count a message; tell whether the judge thinks that the person is at risk, by all they said until then."""
        key = (context.tenant, context.conversation_id)
        known = self._known.setdefault(key, _Known())
        self._known.move_to_end(key)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        thought = known.at_risk.get(context.utterance_id)
        if thought is None:
            known.person.add(counts)
            judgement = self._judge.judge(known.person)
            thought = judgement.level != "none" and judgement.probability >= self._least
            known.at_risk[context.utterance_id] = thought
            if len(known.at_risk) > UTTERANCES:
                known.at_risk.popitem(last=False)
        return thought

    def forget(self, context: pb.Context) -> None:
        """Forget a conversation."""
        self._known.pop((context.tenant, context.conversation_id), None)

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()


def risk_of_words(screening: pb.Screening) -> pb.RiskLevel:
    """The risk that the utterance's own words have: without what the judge of persons advised."""
    return pb.RISK_LEVEL_NONE if ADVICE in screening.rules else screening.level
