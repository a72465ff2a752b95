"""Crisis screening and vetted replies: pure, fast, and needing nothing that can be down."""

from multimood.safety.person import Judgement, Person, PersonJudge
from multimood.safety.replies import Kind, VettedReplies, VettedReply
from multimood.safety.screener import Screener
from multimood.safety.verdict import CRISIS, LEVELS, Level, Verdict, higher, rank

__all__ = [
    "CRISIS",
    "LEVELS",
    "Judgement",
    "Kind",
    "Level",
    "Person",
    "PersonJudge",
    "Screener",
    "Verdict",
    "VettedReplies",
    "VettedReply",
    "higher",
    "rank",
]
