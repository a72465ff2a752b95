"""What a learner is given: the decisions of a log with actions in the order of the taxonomy. Pure."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from multimood.learning.network import Array, Layer, Mask, Network, strategies_of
from multimood.ope.log import Ints, Log

_FLAT: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Taught:
    """`n` decisions that were fit and rewarded, of `d` features and `k` strategies."""

    log: Log
    """The same turns, for estimators; its actions may be fewer and otherwise ordered."""
    columns: Ints
    """[actions of the log]: of each the strategy's number."""
    state: Array
    """[n, d]."""
    eligible: Mask
    """[n, k]."""
    behaviour: Array
    """[n, k]."""
    chosen: Ints
    """[n]: the strategy's number."""

    @classmethod
    def of(cls, log: Log) -> Self:
        """From a log whose every decision has its state."""
        decisions = log.decisions()
        assert decisions.state is not None
        names = strategies_of(decisions.state_version)
        used = [place for place, name in enumerate(decisions.actions) if name in names]
        columns = np.array([names.index(decisions.actions[place]) for place in used])
        back = np.full(len(decisions.actions), -1)
        back[used] = columns
        return cls(
            log=decisions,
            columns=back,
            state=decisions.state,
            eligible=_spread(decisions.eligible[:, used], columns, len(names)).astype(bool),
            behaviour=_spread(decisions.behaviour[:, used], columns, len(names)),
            chosen=back[decisions.chosen],
        )

    def spread(self, table: Array) -> Array:
        """A table by the log's actions [n, ...] as one by strategies [n, k]; 0 for those that it has not."""
        used = self.columns >= 0
        return _spread(table[:, used], self.columns[used], self.eligible.shape[1])


@dataclass(frozen=True, slots=True)
class Scale:
    """States as learners see them: centred, of unit variance; what does not vary is 0."""

    mean: Array
    factor: Array

    @classmethod
    def of(cls, state: Array) -> Self:
        """Fit to states [n, d]."""
        spread = state.std(axis=0)
        return cls(state.mean(axis=0), np.where(spread > _FLAT, 1 / np.maximum(spread, _FLAT), 0.0))

    def __call__(self, state: Array) -> Array:
        """Scale states [n, d]."""
        return (state - self.mean) * self.factor

    def folded(self, first: Layer) -> Layer:
        """The layer that takes states as they are, and gives what `first` gives of scaled ones."""
        weights = self.factor[:, None] * first.weights
        return Layer(weights, first.bias - self.mean @ weights)


def network_of(taught: Taught, scale: Scale, layers: tuple[Layer, ...]) -> Network:
    """The policy of layers that take scaled states; states are held within those that were seen."""
    first = scale.folded(layers[0])
    least, most = taught.state.min(axis=0), taught.state.max(axis=0)
    return Network(taught.log.state_version, (first, *layers[1:]), least, most)


def _spread(table: Array | Mask, columns: Ints, width: int) -> Array:
    wide = np.zeros((len(table), width))
    wide[:, columns] = table
    return wide
