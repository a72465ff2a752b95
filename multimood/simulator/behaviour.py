"""Who may be chosen, and a behaviour policy to log with: the stages by the book, with exploration."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np

from multimood.eligibility import allowed
from multimood.ope.log import FORCED, Bools
from multimood.ope.policy import Policy, Uniform, epsilon_soft
from multimood.ope.softmax import LinearSoftmax
from multimood.taxonomy import ESCONV_STRATEGIES, MESC_STRATEGIES, STAGES

Taxonomy = Literal["mesc", "esconv"]
TAXONOMIES: Final = {"mesc": MESC_STRATEGIES, "esconv": ESCONV_STRATEGIES}
EPSILON: Final = 0.2
STRENGTH: Final = 1.5
_FITS: Final = {
    "exploration": ("open question", "question", "restatement", "restatement or paraphrasing"),
    "comforting": ("approval", "affirmation and reassurance", "reflection of feelings", "self-disclosure"),
    "action": ("advisement", "providing suggestions", "information", "communication skills"),
}


def actions(taxonomy: Taxonomy) -> tuple[str, ...]:
    """What may be chosen somewhere, and what is not chosen: the strategies but `others`, and `FORCED`."""
    return (*allowed(TAXONOMIES[taxonomy], 1), FORCED)


def eligible(names: tuple[str, ...], step: int, forced: Bools) -> Bools:
    """[n, k], by the strategist's rules: no advice in the first turn, nothing but `FORCED` where it is forced."""
    chosen_from = allowed([name for name in names if name != FORCED], step)
    free = np.array([name in chosen_from for name in names])
    return np.where(forced[:, None], np.array([name == FORCED for name in names]), free)


def by_the_book(taxonomy: Taxonomy) -> Policy:
    """A softmax that leans on what suits the stage it sees, epsilon-soft."""
    return epsilon_soft(model(taxonomy), EPSILON)


def model(taxonomy: Taxonomy) -> Policy:
    """The same without its exploration: what the fusion model would say."""
    return _leaning("by the book", taxonomy, _FITS)


def hasty(taxonomy: Taxonomy) -> Policy:
    """A poor one, without exploration: it advises whoever is in distress, and asks when the time to advise has come."""
    first, second, third = STAGES
    return _leaning("hasty", taxonomy, {first: _FITS[third], second: _FITS[third], third: _FITS[first]})


def logging_world(taxonomy: Taxonomy = "mesc") -> Mapping[str, tuple[Policy, Policy]]:
    """By name, what may lead while a log is written, and the model whose distribution is in the state beside it."""
    book, poor = model(taxonomy), hasty(taxonomy)
    return {
        "book": (by_the_book(taxonomy), book),
        "hasty": (epsilon_soft(poor, EPSILON), poor),
        "uniform": (Uniform(), book),
    }


def _leaning(name: str, taxonomy: Taxonomy, fits: Mapping[str, Sequence[str]]) -> Policy:
    names = actions(taxonomy)[:-1]
    features = tuple(f"stage:{stage}" for stage in STAGES)
    weights = np.array([[STRENGTH * (one in fits[stage]) for stage in STAGES] for one in names])
    return LinearSoftmax(name, names, features, weights, np.zeros(len(names)))
