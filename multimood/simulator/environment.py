"""Conversations in memory, all at once: a policy chooses by what it sees, seekers respond by what they are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from multimood.ope.contexts import FEATURES, STRATEGIES
from multimood.ope.log import FORCED, Bools, Floats, Ints
from multimood.ope.policy import Policy, over, target
from multimood.perception.state import STATE
from multimood.simulator.behaviour import Taxonomy, actions, by_the_book, eligible
from multimood.simulator.effects import table
from multimood.simulator.perceived import Perceived, Setting
from multimood.simulator.seekers import Seekers
from multimood.simulator.stated import Said, Spoken, states

TURNS: Final = 8


@dataclass(frozen=True, slots=True)
class World:
    """The rules of a simulation."""

    taxonomy: Taxonomy = "mesc"
    turns: int = TURNS
    """At most so many in a conversation; a seeker may leave before."""
    behaviour: Policy | None = None
    """What a log is written by, and what `Logged` and `Greedy` are, whoever leads; None: by the book."""
    model: Policy | None = None
    """What the fusion model would say of strategies: with it every turn has the state that the pipeline logs, and a
    policy that needs it can lead."""

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of the actions, `FORCED` last."""
        return actions(self.taxonomy)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the `n` seekers who are still there. It is a `multimood.ope.policy.Turns`."""

    actions: tuple[str, ...]
    step: int
    conversation: Ints
    """[n]: number of the seeker."""
    seekers: Seekers
    setting: Setting
    perceived: Perceived
    spoken: Spoken
    """What the system did before."""
    contexts: Floats
    eligible: Bools
    behaviour: Floats
    chosen: Ints
    """[n]: index into `actions`; -1: not chosen yet."""
    rewards: Floats
    """[n]; NaN: not known yet."""
    relieved: Floats
    """[n]: distress after the turn; NaN: not known yet."""
    state: Floats | None = None
    """[n, s]: of `state_version`; None: the world has no model."""
    state_version: str = ""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the contexts' columns."""
        return FEATURES

    @property
    def before(self) -> Ints:
        """[n]: index of the strategy before into STRATEGIES; -1: none."""
        return self.spoken.last

    @property
    def forced(self) -> Bools:
        """[n]: nobody could choose."""
        return self.eligible[:, self.actions.index(FORCED)]

    def oracle(self) -> Floats:
        """[n, k]: expected reward of every action."""
        return self.seekers.expected_rewards(table(self.actions))


Leader: TypeAlias = Callable[[Turn], Ints]
"""Chooses an eligible action [n] for each seeker, knowing everything."""


def converse(
    world: World,
    conversations: int,
    rng: np.random.Generator,
    policy: Policy | None = None,
    informed: Leader | None = None,
) -> Iterator[Turn]:
    """Hold conversations led by `policy` (None: the world's behaviour policy), turn by turn.

    `informed` leads instead and sees what is hidden: for the optimum.
    """
    names, effects = world.actions, table(world.actions)
    seekers, setting = Seekers.arrive(conversations, rng), Setting.draw(conversations, rng)
    number, spoken = np.arange(conversations), Spoken.nothing(conversations)
    usual = by_the_book(world.taxonomy) if world.behaviour is None else world.behaviour
    strategy_of = np.array([STRATEGIES.index(name) if name in STRATEGIES else -1 for name in names])
    for step in range(world.turns):
        perceived = Perceived.of(seekers, setting, rng)
        unknown, offered = np.full(len(number), np.nan), eligible(names, step, perceived.crisis)
        turn = Turn(
            actions=names, step=step, conversation=number, seekers=seekers, setting=setting, perceived=perceived,
            spoken=spoken, contexts=perceived.contexts(setting, step, spoken.last),
            eligible=offered, behaviour=over(offered.astype(float), offered),
            chosen=np.full(len(number), -1), rewards=unknown, relieved=unknown,
        )  # fmt: skip
        if world.model is not None:
            turn = replace(turn, state=_states(world, turn), state_version=f"{STATE}:{world.taxonomy}")
        turn = replace(turn, behaviour=target(usual, turn))
        if informed is not None:
            chosen = informed(turn)
        else:
            chosen = draw(turn.behaviour if policy is None else target(policy, turn), rng)
        after, rewards = seekers.respond(effects[chosen], rng)
        yield replace(turn, chosen=chosen, rewards=rewards, relieved=after.distress)
        stay = rng.random(len(number)) >= after.leaving()
        seekers, setting, number = after.take(stay), setting.take(stay), number[stay]
        spoken = spoken.after(strategy_of[chosen]).take(stay)
        if not len(number):
            return


def _states(world: World, turn: Turn) -> Floats:
    """The state of each turn; the model speaks of all strategies that may ever be chosen."""
    assert world.model is not None
    names = tuple(name for name in turn.actions if name != FORCED)
    free = np.ones((len(turn.chosen), len(names)), bool)
    asked = replace(turn, actions=names, eligible=free, behaviour=over(free.astype(float), free))
    shares = dict(zip(names, target(world.model, asked).T, strict=True))
    return states(f"{STATE}:{world.taxonomy}", turn.step, turn.perceived, turn.setting, Said(turn.spoken, shares))


def draw(distribution: Floats, rng: np.random.Generator) -> Ints:
    """From each row of `distribution` [n, k] an index [n]."""
    ends = distribution.cumsum(axis=1)
    point = rng.random(len(ends)) * ends[:, -1]
    chosen: Ints = (ends <= point[:, None]).sum(axis=1)
    return chosen
