"""Who teaches and who grades: two sets of judges, so that nobody is graded by what it was taught to please alone.

Teaching: r = (trust + similarity) / 2 as it is given online (`multimood.trust.reward`), trust by rules and by the
judge of counselling quality. Grading: the judge of empathy, which no training here asks; and whatever language
model is named.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from multimood.learning.replies.contexts import Context
from multimood.learning.replies.dialogues import SAFE
from multimood.trust.case import Embed, Judge
from multimood.trust.empathy import EmpathyHead, EmpathyJudge
from multimood.trust.guard import guard
from multimood.trust.judges import remembering, rule_judges
from multimood.trust.patterns import ReplyRules, shipped_rules
from multimood.trust.quality import QualityHead, QualityJudge
from multimood.trust.reward import MINIMUM, crisis_gate_failed, reward
from multimood.trust.scores import TrustScores, panel_version, score_trust
from multimood.trust.similarity import SimilarityScorer

UNKNOWN: Final = 0.5
"""Reward of a reply that nobody could score."""


def teachers(embed: Embed) -> list[Judge]:
    """The judges whose scores are learned from."""
    return [*rule_judges(), QualityJudge(QualityHead.load(), remembering(embed))]


def graders(embed: Embed) -> list[Judge]:
    """The judges here that no training asks."""
    return [EmpathyJudge(EmpathyHead.load(), remembering(embed))]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a reply is worth."""

    reward: float
    """0..1."""
    trust: TrustScores
    similarity: float | None
    """0..1; None: no reference."""
    refused: str
    """Why the guard would not let it go; it then never leaves and the reward is the minimum. Empty: it would leave."""


class Reward:
    """The reward of replies, by the scorers that score online; a reply that would not leave has the minimum."""

    def __init__(self, embed: Embed, references: Sequence[str], judges: Sequence[Judge] | None = None) -> None:
        """`references`: some of those to come, which say what words are rare; none: there will be none.

        Needs scikit-learn where there are references.
        """
        self._judges = teachers(embed) if judges is None else judges
        self._rules: ReplyRules = shipped_rules()
        self._similarity = SimilarityScorer(embed, references) if references else None

    @property
    def version(self) -> str:
        """Names the judges and what else it is made of."""
        similar = "+similarity" if self._similarity is not None else ""
        return f"{panel_version(self._judges)}{similar}+{self._rules.version}"

    def of(self, context: Context, replies: Sequence[str]) -> list[Scored]:
        """Score several replies to one context, as they would be sent. Not from within an event loop."""
        return asyncio.run(self._all(context, replies))

    async def _all(self, context: Context, replies: Sequence[str]) -> list[Scored]:
        return [await self._one(context, reply) for reply in replies]

    async def _one(self, context: Context, reply: str) -> Scored:
        refused = guard(reply, SAFE, self._rules).reason
        scores = await score_trust(context.case(reply), self._judges)
        similarity = None
        if self._similarity is not None and context.reference:
            similarity = (await self._similarity.score(reply, context.reference)).total
        failed = refused is not None or crisis_gate_failed(SAFE, reply, vetted=False, rules=self._rules)
        value = MINIMUM if failed else reward(scores, crisis_failed=False, similarity=similarity)
        return Scored(UNKNOWN if value is None else value, scores, similarity, "" if refused is None else str(refused))
