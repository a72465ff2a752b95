"""From a reply and its decision to the trust score: the judges are asked, the rest is arithmetic."""

import asyncio
from collections.abc import Sequence

from multimood.bus import HopClock
from multimood.contracts.v1 import events_pb2 as pb
from multimood.telemetry import ONE_TO_TEN, TENTHS, Scores, meter
from multimood.trust import Judge, ReplyRules, TrustWeights, score_trust
from services.reward.core import case_of, gate_failed, trust_score

_scores = Scores("multimood_trust_score", "Scores of replies by criterion, 1 to 10", ("criterion",), ONE_TO_TEN)
_reward = Scores("multimood_reward", "Rewards of replies, 0 to 1, by crisis gate", ("gate",), TENTHS)


class Scorer:
    """Scores replies, so many at once; the judges are asked in their order."""

    def __init__(self, judges: Sequence[Judge], weights: TrustWeights, rules: ReplyRules, *, concurrency: int) -> None:
        self._judges = judges
        self._weights = weights
        self._rules = rules
        self._judging = asyncio.Semaphore(concurrency)
        self._absences = meter().create_counter(
            "multimood.reward.judge_failures", description="Judges that could not score, by judge and reason"
        )

    async def score(
        self, decision: pb.Decision | None, reply: pb.Reply, clock: HopClock, experience_key: str
    ) -> pb.TrustScore:
        """Give the score to publish. A judge that is away leaves its criteria open and is counted."""
        async with self._judging:
            with clock.model():
                scores = await score_trust(case_of(decision, reply), self._judges)
        for judge, reason in scores.failures:
            self._absences.add(1, {"judge": judge, "reason": reason})
        told = trust_score(
            reply.context,
            scores,
            failed=gate_failed(decision, reply, self._rules),
            weights=self._weights,
            rules=self._rules,
            judges=self._judges,
            experience_key=experience_key,
            hop=clock.hop(),
        )
        _measure(told)
        return told


def _measure(told: pb.TrustScore) -> None:
    for one in told.scores:
        if one.HasField("score"):
            _scores.record(one.score, one.criterion)
    if told.HasField("reward"):
        _reward.record(told.reward, "failed" if told.crisis_gate_failed else "passed")
