"""The judges that are here, in the order in which they are asked: rules first, then what was learned."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.safety.screener import Screener
from multimood.trust.case import Embed, Judge
from multimood.trust.claims import JudgeRules, RulesJudge
from multimood.trust.empathy import EmpathyHead, EmpathyJudge
from multimood.trust.local import PrivacyJudge, SafetyJudge
from multimood.trust.patterns import ReplyRules, shipped_rules
from multimood.trust.quality import QualityHead, QualityJudge

REMEMBERED: Final = 64


def rule_judges(rules: ReplyRules | None = None, claims: JudgeRules | None = None) -> list[Judge]:
    """Safety, privacy; truthfulness, fairness, ethical guidance where a fault is found. By the shipped rules if None.

    Raises:
        ConfigurationError: a shipped file cannot be read.
    """
    rules = rules or shipped_rules()
    return [SafetyJudge(Screener.load(), rules), PrivacyJudge(rules), RulesJudge(claims or JudgeRules.load())]


def learned_judges(embed: Embed, empathy: EmpathyHead | None = None, quality: QualityHead | None = None) -> list[Judge]:
    """Empathy and reliability, by the shipped heads if None. What is embedded for one is not embedded for the other.

    Raises:
        ConfigurationError: a shipped head cannot be read.
    """
    once = remembering(embed)
    return [EmpathyJudge(empathy or EmpathyHead.load(), once), QualityJudge(quality or QualityHead.load(), once)]


def remembering(embed: Embed) -> Embed:
    """The same, with the newest answers at hand."""
    known: OrderedDict[tuple[str, ...], NDArray[np.float32]] = OrderedDict()

    async def found(texts: Sequence[str]) -> NDArray[np.float32]:
        key = tuple(texts)
        if key not in known:
            known[key] = await embed(texts)
            if len(known) > REMEMBERED:
                known.popitem(last=False)
        return known[key]

    return found
