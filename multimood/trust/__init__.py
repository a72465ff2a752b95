"""Trust: judges for the seven criteria, the reward made of them, and the guard that looks at a reply before it leaves.

`LLMJudge` is in `multimood.trust.llm`, apart, because it needs httpx.
"""

from multimood.trust.case import Embed, Judge, TrustCase, Turn
from multimood.trust.claims import JudgeRules, RulesJudge
from multimood.trust.empathy import EmpathyHead, EmpathyJudge
from multimood.trust.guard import GuardResult, guard
from multimood.trust.local import PrivacyJudge, SafetyJudge
from multimood.trust.patterns import ReplyRules
from multimood.trust.quality import QualityHead, QualityJudge
from multimood.trust.reward import TrustWeights, crisis_gate_failed, reward
from multimood.trust.scores import CriterionScore, TrustScores, panel_version, score_trust

__all__ = [
    "CriterionScore",
    "Embed",
    "EmpathyHead",
    "EmpathyJudge",
    "GuardResult",
    "Judge",
    "JudgeRules",
    "PrivacyJudge",
    "QualityHead",
    "QualityJudge",
    "ReplyRules",
    "RulesJudge",
    "SafetyJudge",
    "TrustCase",
    "TrustScores",
    "TrustWeights",
    "Turn",
    "crisis_gate_failed",
    "guard",
    "panel_version",
    "reward",
    "score_trust",
]
