"""Seven criteria, many judges, one record."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from multimood.errors import UnavailableError
from multimood.taxonomy import CRITERIA
from multimood.trust.case import LEAST, MOST, Judge, TrustCase


@dataclass(frozen=True, slots=True)
class CriterionScore:
    """One criterion's score, with who gave it; None where nobody could."""

    criterion: str
    score: float | None
    judge: str = ""
    judge_version: str = ""


@dataclass(frozen=True, slots=True)
class TrustScores:
    """All seven criteria in the order of `CRITERIA`."""

    scores: tuple[CriterionScore, ...]
    failures: tuple[tuple[str, str], ...] = ()
    """Judges that were unavailable, each with the error's code."""
    reasons: tuple[str, ...] = ()
    """The same in words: the errors' messages, in the order of `failures`."""

    def of(self, criterion: str) -> float | None:
        """Look up the score of one criterion, 1..10."""
        return next((score.score for score in self.scores if score.criterion == criterion), None)


async def score_trust(case: TrustCase, judges: Sequence[Judge]) -> TrustScores:
    """Ask the judges in order; the first that scores a criterion has it. A later judge is asked only for what is left.

    An unavailable judge leaves its criteria to the others and is named in `failures`; other errors are the caller's.
    """
    given: dict[str, CriterionScore] = {}
    failures: list[tuple[str, str]] = []
    reasons: list[str] = []
    for judge in judges:
        open_criteria = [criterion for criterion in judge.criteria if criterion not in given]
        if not open_criteria:
            continue
        try:
            scores = await judge.score(case)
        except UnavailableError as error:
            failures.append((judge.name, error.code))
            reasons.append(str(error))
            continue
        for criterion in open_criteria:
            if criterion in scores and LEAST <= scores[criterion] <= MOST:
                given[criterion] = CriterionScore(criterion, float(scores[criterion]), judge.name, judge.version)
    scored = tuple(given.get(name, CriterionScore(name, None)) for name in CRITERIA)
    return TrustScores(scored, tuple(failures), tuple(reasons))


def panel_version(judges: Sequence[Judge]) -> str:
    """Name a set of judges: `panel-` and 8 digits of its hash, of their names, versions, criteria and order.

    The scores of two panels are no measure of the same thing, though each says which version gave it: the mean that the
    reward is of them is over other criteria.
    """
    seats = [(judge.name, judge.version, list(judge.criteria)) for judge in judges]
    return f"panel-{hashlib.sha256(json.dumps(seats).encode()).hexdigest()[:8]}"
