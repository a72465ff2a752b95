"""Several judges on the same replies: what each says, how far they agree, what they are biased by."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np

from multimood.errors import UnavailableError
from multimood.evaluation.concurrently import all_of
from multimood.taxonomy import CRITERIA
from multimood.trust.agreement import (
    Agreement,
    Correlation,
    Scores,
    SelfPreference,
    agreement,
    correlation,
    mean_of,
    self_preference,
)
from multimood.trust.case import Judge
from multimood.trust.pairwise import Better, PairJudge, Position, position
from multimood.trust.replies import Judged
from multimood.trust.scores import score_trust
from multimood.trust.similarity import SimilarityScorer
from multimood.trust.spending import Spending

AT_ONCE: Final = 8
PARTS: Final = ("late", "sparse", "dense", "total")
Tick = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Rater:
    """A seat of the panel: one judge, or several that score different criteria."""

    name: str
    judges: Sequence[Judge]
    model: str = ""
    """The language model behind it; empty: there is none."""
    pairs: PairJudge | None = None
    spending: Sequence[Spending] = ()

    @property
    def version(self) -> str:
        """Versions of all its judges."""
        return "+".join(judge.version for judge in self.judges)


@dataclass(slots=True)
class Panel:
    """What came out. Nothing in it is what somebody said."""

    ids: Sequence[str]
    scores: dict[str, dict[str, Scores]] = field(default_factory=dict)
    """By rater and criterion, float [n], NaN where there is none."""
    failures: dict[str, Counter[str]] = field(default_factory=dict)
    """By rater: replies at which one of its judges was not available, by reason."""
    reasons: dict[str, str] = field(default_factory=dict)
    """By rater that was not available: the first reason in words."""
    agreement: dict[str, Agreement] = field(default_factory=dict)
    """By criterion."""
    length: dict[str, dict[str, Correlation]] = field(default_factory=dict)
    """By rater and criterion: score and number of words."""
    position: dict[str, Position] = field(default_factory=dict)
    """By rater that can compare; without pairs there is nothing to check."""
    self_preference: dict[str, SelfPreference] = field(default_factory=dict)
    """By rater with a language model."""
    similarity: dict[str, Scores] = field(default_factory=dict)
    """Late, sparse, dense and total, float [n], 0..1; NaN where there is no reference. Empty: nobody compared."""


async def compare_with_references(panel: Panel, replies: Sequence[Judged], scorer: SimilarityScorer) -> None:
    """Add the similarity of each reply to its reference.

    Raises:
        UnavailableError: the text encoder does not answer.
    """
    panel.similarity = {part: np.full(len(replies), np.nan) for part in PARTS}
    for place, reply in enumerate(replies):
        if reply.reference:
            found = await scorer.score(reply.case.reply, reply.reference)
            for part in PARTS:
                panel.similarity[part][place] = getattr(found, part)


async def convene(
    replies: Sequence[Judged], raters: Sequence[Rater], tick: Tick, most_pairs: int = 0, at_once: int = AT_ONCE
) -> Panel:
    """Ask every rater about every reply, and about `most_pairs` pairs of replies to one dialogue in both orders.

    `tick` is called for each reply and rater, and for each pair and rater that compares. A judge that is not available
    leaves its scores open and is counted.

    Raises:
        ConfigurationError: a judge cannot work as it is configured.
    """
    panel = Panel([reply.id for reply in replies])
    turn = asyncio.Semaphore(at_once)
    pairs = pairs_of(replies)[:most_pairs]
    for rater in raters:
        panel.scores[rater.name] = await _scored(panel, replies, rater, turn, tick)
    for rater in raters:
        if rater.pairs is not None and pairs:
            panel.position[rater.name] = position(await _compared(pairs, rater.pairs, turn, tick))
    _compare(panel, replies, raters)
    return panel


def pairs_of(replies: Sequence[Judged]) -> list[tuple[Judged, Judged]]:
    """Different replies to the same dialogue, neighbours of the order in which they came."""
    by_dialogue: dict[Any, list[Judged]] = {}
    for reply in replies:
        if reply.case.dialogue:
            by_dialogue.setdefault(tuple(reply.case.dialogue), []).append(reply)
    return [
        (one, other)
        for several in by_dialogue.values()
        for one, other in pairwise(several)
        if one.case.reply != other.case.reply
    ]


async def _scored(
    panel: Panel, replies: Sequence[Judged], rater: Rater, turn: asyncio.Semaphore, tick: Tick
) -> dict[str, Scores]:
    scores = {criterion: np.full(len(replies), np.nan) for criterion in CRITERIA}
    failures = panel.failures.setdefault(rater.name, Counter())

    async def one(place: int) -> None:
        async with turn:
            found = await score_trust(replies[place].case, rater.judges)
        failures.update(code for _, code in found.failures)
        for reason in found.reasons:
            panel.reasons.setdefault(rater.name, reason)
        for score in found.scores:
            if score.score is not None:
                scores[score.criterion][place] = score.score
        tick()

    await all_of(one(place) for place in range(len(replies)))
    return {name: given for name, given in scores.items() if np.isfinite(given).any()}


async def _compared(
    pairs: Sequence[tuple[Judged, Judged]], judge: PairJudge, turn: asyncio.Semaphore, tick: Tick
) -> list[tuple[Better, Better]]:
    async def one(first: Judged, second: Judged) -> tuple[Better, Better] | None:
        try:
            async with turn:
                there = await judge.better(first.case, second.case.reply)
                return there, await judge.better(second.case, first.case.reply)
        except UnavailableError:
            return None
        finally:
            tick()

    verdicts = await all_of(one(*pair) for pair in pairs)
    return [verdict for verdict in verdicts if verdict is not None]


def _compare(panel: Panel, replies: Sequence[Judged], raters: Sequence[Rater]) -> None:
    words = np.array([len(reply.case.reply.split()) for reply in replies], np.float64)
    for criterion in CRITERIA:
        given = {name: scores[criterion] for name, scores in panel.scores.items() if criterion in scores}
        if given:
            panel.agreement[criterion] = agreement(given)
    panel.length = {
        name: {criterion: correlation(given, words) for criterion, given in scores.items()}
        for name, scores in panel.scores.items()
    }
    means = {name: mean_of(list(scores.values())) for name, scores in panel.scores.items() if scores}
    for rater in raters:
        own = np.array([bool(rater.model) and reply.writer == rater.model for reply in replies])
        if rater.model and rater.name in means:
            panel.self_preference[rater.name] = self_preference(rater.name, own, means)


def as_json(panel: Panel, raters: Sequence[Rater], left_out: Mapping[str, int]) -> dict[str, Any]:
    """The whole of it for programs; null where there is no score."""
    return {
        "replies": len(panel.ids),
        "left_out": dict(left_out),
        "judges": [
            {
                "name": rater.name,
                "version": rater.version,
                "spent": [
                    {**{k: v for k, v in asdict(one).items() if k != "prices"}, "cost": one.cost}
                    for one in rater.spending
                ],
                "unavailable": dict(panel.failures[rater.name]),
                "first_reason": panel.reasons.get(rater.name),
            }
            for rater in raters
        ],
        "scores": [
            {
                "id": name,
                "similarity": {part: _known(given[place]) for part, given in panel.similarity.items()},
                **{
                    rater: {criterion: _known(given[place]) for criterion, given in scores.items()}
                    for rater, scores in panel.scores.items()
                },
            }
            for place, name in enumerate(panel.ids)
        ],
        "agreement": {criterion: asdict(found) for criterion, found in panel.agreement.items()},
        "length": {name: {c: asdict(found) for c, found in by.items()} for name, by in panel.length.items()},
        "position": {name: asdict(found) for name, found in panel.position.items()},
        "self_preference": {name: asdict(found) for name, found in panel.self_preference.items()},
    }


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
