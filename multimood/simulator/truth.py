"""What policies are really worth in the simulator, by playing them out."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from multimood.ope.policy import Policy, target
from multimood.simulator.environment import Leader, World, converse

CONVERSATIONS: Final = 40_000


@dataclass(frozen=True, slots=True)
class Truth:
    """A value and its standard error."""

    value: float
    error: float


def value_of_conversations(
    world: World,
    policy: Policy | None = None,
    *,
    discount: float = 1.0,
    conversations: int = CONVERSATIONS,
    seed: int = 1,
    informed: Leader | None = None,
) -> Truth:
    """A conversation's discounted sum of rewards when the policy leads it (None: the behaviour policy).

    Expected rewards are summed, not those that were drawn: the states are what varies.
    """
    earned = np.zeros(conversations)
    for turn in converse(world, conversations, np.random.default_rng(seed), policy, informed):
        expected = turn.oracle()[np.arange(len(turn.chosen)), turn.chosen]
        earned[turn.conversation] += discount**turn.step * expected
    return _mean(earned, np.ones(conversations))


def value_of_turns(world: World, policy: Policy, *, conversations: int = CONVERSATIONS, seed: int = 1) -> Truth:
    """The mean reward of a turn when the policy chooses in the situations that the behaviour policy leads to.

    It is what estimators of single turns estimate. Turns where nobody could choose are left out, as they are in a log.
    """
    earned, turns = np.zeros(conversations), np.zeros(conversations)
    for turn in converse(world, conversations, np.random.default_rng(seed)):
        free = ~turn.forced
        expected = (target(policy, turn) * turn.oracle()).sum(axis=1)
        earned[turn.conversation[free]] += expected[free]
        turns[turn.conversation[free]] += 1
    return _mean(earned, turns)


def _mean(
    earned: "np.ndarray[tuple[int], np.dtype[np.float64]]", turns: "np.ndarray[tuple[int], np.dtype[np.float64]]"
) -> Truth:
    value = earned.sum() / turns.sum()
    error = np.std(earned - value * turns) * np.sqrt(len(earned)) / turns.sum()
    return Truth(float(value), float(error))
