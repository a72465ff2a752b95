"""Discrete conservative Q-learning (Kumar et al. 2020) by d3rlpy: what a choice is worth with all that follows from it.

A turn where nobody could choose is no step of its own: its reward counts for the choice before it, discounted, and the
next step is as many turns away. The conservative term keeps the values of what was seldom done low, of what was not
eligible in the next turn too. The policy is a softmax over Q at the temperature `caution`, rewards being scaled to
unit variance.
"""

import io
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from multimood.errors import NotFoundError
from multimood.learning.learner import Settings, Watch
from multimood.learning.network import Array, Layer, Network
from multimood.learning.taught import Scale, Taught, network_of
from multimood.ope.log import FORCED, Ints, Log
from multimood.ope.trajectories import trajectories

HIDDEN: Final = (64, 64)
BATCH: Final = 256
LEARNING_RATE: Final = 1e-3
CONSERVATIVE: Final = 0.5
"""alpha: weight of the conservative term beside the squared error of scaled rewards."""
EPOCH: Final = 500
"""Steps between two checkpoints."""
TARGET: Final = 100
"""Steps between two updates of the target network."""


def learn(whole: Log, taught: Taught, settings: Settings, watch: Watch) -> Network:
    """Learn Q from whole conversations. Raises NotFoundError when the log has none, ModuleNotFoundError."""
    import d3rlpy  # noqa: PLC0415 - in the training environment only
    import torch  # noqa: PLC0415

    scale = Scale.of(taught.state)
    steps = Steps.of(whole, taught, settings.gamma)
    d3rlpy.seed(settings.seed)
    config = d3rlpy.algos.DiscreteCQLConfig(
        learning_rate=LEARNING_RATE, batch_size=BATCH, gamma=settings.gamma, alpha=CONSERVATIVE,
        target_update_interval=TARGET, encoder_factory=d3rlpy.models.VectorEncoderFactory(list(HIDDEN)),
    )  # fmt: skip
    learning = config.create(device="cpu:0")
    learning.create_impl((taught.state.shape[1],), taught.eligible.shape[1])
    done = _restored(learning, watch)
    while done < settings.steps:
        watch.advance("learning Q", done, settings.steps)
        rng = np.random.default_rng((settings.seed, done))
        many = min(EPOCH, settings.steps - done)
        for _ in range(many):
            learning.update(steps.batch(rng.integers(len(steps.action), size=BATCH), scale))
        done += many
        _keep(learning, done, watch)
    watch.advance("learning Q", done, settings.steps)
    linear = [part for part in learning.impl.q_function[0].modules() if isinstance(part, torch.nn.Linear)]
    layers = [Layer(_array(one.weight).T, _array(one.bias)) for one in linear]
    last = Layer(layers[-1].weights / settings.caution, layers[-1].bias / settings.caution)
    return network_of(taught, scale, (*layers[:-1], last))


@dataclass(frozen=True, slots=True)
class Steps:
    """From choice to choice: `m` of them."""

    state: Array
    """[turns, d]."""
    at: Ints
    """[m]: the choice's turn."""
    following: Ints
    """[m]: that of the next choice; 0 after the last."""
    action: Ints
    """[m]: number of the strategy."""
    reward: Array
    """[m]: up to the next choice, discounted; of unit variance."""
    interval: Ints
    """[m]: turns until then."""
    last: Array
    """[m]: 1 where none follows."""

    @classmethod
    def of(cls, whole: Log, taught: Taught, gamma: float) -> Self:
        """Raises NotFoundError when no conversation is whole."""
        found = trajectories(whole)
        log = found.log
        free = np.flatnonzero(log.chosen != (log.actions.index(FORCED) if FORCED in log.actions else -1))
        if not len(free):
            raise NotFoundError(
                f"no conversation of the log is whole ({dict(found.left_out)}): cql learns from conversations whose "
                "every turn is known and rewarded; the learner bandit needs no more than turns"
            )
        assert log.state is not None
        following = np.append(free[1:], 0)
        last = np.append(log.conversation[free[1:]] != log.conversation[free[:-1]], [True])
        spread = float(taught.log.rewards.std()) or 1.0
        start = np.searchsorted(log.conversation, log.conversation[free], side="right")
        until = np.where(last, start, following)
        return cls(
            state=log.state,
            at=free,
            following=np.where(last, 0, following),
            action=taught.columns[log.chosen[free]],
            reward=_summed(log.rewards / spread, free, until, gamma),
            interval=np.where(last, 1, until - free),
            last=last.astype(float),
        )

    def batch(self, which: Ints, scale: Scale) -> Any:
        """As d3rlpy takes it."""
        from d3rlpy.dataset import TransitionMiniBatch  # noqa: PLC0415 - in the training environment only

        following, action = self.following[which], _column(self.action[which])
        return TransitionMiniBatch(
            observations=scale(self.state[self.at[which]]).astype(np.float32),
            actions=action,
            rewards=_column(self.reward[which]),
            next_observations=scale(self.state[following]).astype(np.float32),
            next_actions=action,
            terminals=_column(self.last[which]),
            intervals=_column(self.interval[which]),
            transitions=[],
        )


def _summed(rewards: Array, begin: Ints, end: Ints, gamma: float) -> Array:
    """The discounted sum of rewards from each `begin` up to before `end`."""
    total = np.zeros(len(begin))
    for ahead in range(int((end - begin).max())):
        within = begin + ahead < end
        total[within] += gamma**ahead * rewards[begin[within] + ahead]
    return total


def _restored(learning: Any, watch: Watch) -> int:
    """Go on from what was kept; gives how many steps are done."""
    kept = watch.kept()
    if kept is None:
        return 0
    learning.impl.load_model(io.BytesIO(kept["model"].tobytes()))
    learning.set_grad_step(int(kept["step"]))
    return int(kept["step"])


def _keep(learning: Any, done: int, watch: Watch) -> None:
    out = io.BytesIO()
    learning.impl.save_model(out)
    watch.keep({"model": np.frombuffer(out.getvalue(), np.uint8), "step": np.array(done)})


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.detach().numpy(), np.float64)


def _column(values: Any) -> Any:
    return np.asarray(values, np.float32)[:, None]
