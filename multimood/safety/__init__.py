"""Crisis screening, vetted replies, what follows a crisis: pure, fast, and needing nothing that can be down."""

from multimood.safety.crisis_policy import CrisisPolicy
from multimood.safety.handover import Handover, Handovers
from multimood.safety.person import Counts, Judgement, Person, PersonJudge
from multimood.safety.persons import Persons
from multimood.safety.replies import Kind, VettedReplies, VettedReply
from multimood.safety.screener import Screener
from multimood.safety.told import Told
from multimood.safety.verdict import CRISIS, LEVELS, Level, Verdict, higher, rank

__all__ = [
    "CRISIS",
    "LEVELS",
    "Counts",
    "CrisisPolicy",
    "Handover",
    "Handovers",
    "Judgement",
    "Kind",
    "Level",
    "Person",
    "PersonJudge",
    "Persons",
    "Screener",
    "Told",
    "Verdict",
    "VettedReplies",
    "VettedReply",
    "higher",
    "rank",
]
