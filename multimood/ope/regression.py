"""Regression of returns on context and action, kept as sums so that resampling never reads a turn twice. Pure.

Q(x, a) = theta . phi(x, a) with phi(x, a) = [b(x), 1{a=1} c(x), ..., 1{a=k} c(x)]: what all actions share, and how each
differs; c(x) is the context, b(x) the same with squares. All but the common mean is penalised (ridge), so an action
that was seldom taken is thought to be like the others. Everything that a fit needs is a sum over turns; the sums are
kept for blocks of conversations. A resample, a fold of a cross-fit, a log of any length: each is a weighted sum.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from multimood.ope.log import Floats, Ints, Log

BLOCKS: Final = 50
BLOCKS_OF_MANY: Final = 24
MANY: Final = 400
"""Coefficients above which there are fewer blocks: memory grows with blocks times coefficients squared."""
WIDEST: Final = 40
"""Wider contexts are seen through so many principal components."""
PENALTY: Final = 3.0
_TINY: Final = 1e-6
_AT_ONCE: Final = 10


@dataclass(frozen=True, slots=True)
class Basis:
    """c(x): 1 and the context's standardised columns that vary, or their principal components if they are many.

    b(x): the same and the squares of those columns that have more than two values.
    """

    mean: Floats
    turn: Floats
    """[d, o - 1]."""
    squared: Ints
    """Which columns of c(x) are squared."""

    @classmethod
    def of(cls, contexts: Floats) -> Self:
        """Fit to contexts [n, d]."""
        mean, spread = contexts.mean(axis=0), contexts.std(axis=0)
        vary = np.flatnonzero(spread > _TINY)
        turn = np.zeros((contexts.shape[1], len(vary)))
        turn[vary, np.arange(len(vary))] = 1 / spread[vary]
        if len(vary) > WIDEST:
            scaled = (contexts - mean) @ turn
            largest = np.linalg.eigh(scaled.T @ scaled / len(scaled))
            keep = slice(len(vary) - WIDEST, None)
            turn = turn @ (largest.eigenvectors[:, keep] / np.sqrt(np.maximum(largest.eigenvalues[keep], _TINY)))
        columns = (contexts - mean) @ turn
        many = [len(np.unique(np.round(column, 6))) > 2 for column in columns.T]  # noqa: PLR2004 - 0 and 1
        return cls(mean, turn, 1 + np.flatnonzero(many))

    @property
    def own(self) -> int:
        """o, the width of c(x)."""
        return int(self.turn.shape[1]) + 1

    @property
    def shared(self) -> int:
        """q, the width of b(x)."""
        return self.own + len(self.squared)

    def __call__(self, contexts: Floats) -> Floats:
        """b(x) [n, q], its first columns c(x)."""
        linear = np.hstack([np.ones((len(contexts), 1)), (contexts - self.mean) @ self.turn])
        return np.hstack([linear, linear[:, self.squared] ** 2 - 1])

    def expected(self, contexts: Floats, distribution: Floats) -> Floats:
        """E phi(x, a) over a distribution [n, k] of actions: [n, p] with p = q + k o."""
        seen = self(contexts)
        each = distribution[:, :, None] * seen[:, None, : self.own]
        return np.hstack([seen, each.reshape(len(seen), distribution.shape[1] * self.own)])


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over the turns of each of `g` blocks; `p` coefficients."""

    basis: Basis
    actions: int
    gram: Floats
    """[g, p, p]: phi(x, a) phi(x, a)'."""
    reward: Floats
    """[g, p]: phi(x, a) r."""
    following: Floats | None
    """[g, p, p]: phi(x, a) times E phi(x', a') of the next turn under the target, 0 after the last.

    None: there is no horizon."""
    asked: Floats
    """[g, p]: E phi(x, a) under the target in the turns whose value is asked for."""
    count: Floats
    """[g]: how many those are."""
    block: Ints
    """[n]: each turn's block."""

    @classmethod
    def of(
        cls, log: Log, target: Floats, asked: Floats | None = None, following: Ints | None = None, seed: int = 0
    ) -> Self:
        """Add up.

        `asked` [n] weighs the turns whose value is asked for (None: all of them, once); `following` [n] is each turn's
        next row, or -1.
        """
        basis = Basis.of(log.covariates)
        size = basis.shared + len(log.actions) * basis.own
        conversation = np.unique(log.conversation, return_inverse=True)[1]
        many = int(conversation.max()) + 1
        blocks = min(BLOCKS if size <= MANY else BLOCKS_OF_MANY, many)
        block = (np.random.default_rng(seed).permutation(many) % blocks)[conversation]
        gram, reward, later = np.zeros((blocks, size, size)), np.zeros((blocks, size)), np.zeros((blocks, size, size))
        wanted, count = np.zeros((blocks, size)), np.zeros(blocks)
        asking = np.ones(len(log)) if asked is None else asked
        for number in range(blocks):
            rows = np.flatnonzero(block == number)
            taken = basis.expected(log.covariates[rows], np.eye(len(log.actions))[log.chosen[rows]])
            gram[number], reward[number] = taken.T @ taken, taken.T @ log.rewards[rows]
            wanted[number], count[number] = (
                asking[rows] @ basis.expected(log.covariates[rows], target[rows]),
                asking[rows].sum(),
            )
            if following is not None:
                goes_on = following[rows] >= 0
                after = following[rows][goes_on]
                later[number] = taken[goes_on].T @ basis.expected(log.covariates[after], target[after])
        return cls(basis, len(log.actions), gram, reward, None if following is None else later, wanted, count, block)

    def fit(self, weights: Floats, discount: float = 1.0) -> Floats:
        """Coefficients [p] from blocks weighted by `weights` [g].

        With a horizon it is what the rounds of fitted Q evaluation (Le et al. 2019, algorithm 3) come to rest at when Q
        is linear: Q regresses r + discount E Q(x', a') on phi(x, a). One linear system has it at once (LSTD-Q,
        Lagoudakis and Parr 2003).
        """
        solved: Floats = self._solve(weights[None], discount)[0]
        return solved

    def values(self, draws: Floats, discount: float = 1.0) -> Floats:
        """[b]: for each of `draws` [b, g] the mean of E Q(x, a) under the target over the turns asked for."""
        asked, count = draws @ self.asked, draws @ self.count
        some = [self._solve(draws[at : at + _AT_ONCE], discount) for at in range(0, len(draws), _AT_ONCE)]
        values: Floats = (asked * np.concatenate(some)).sum(axis=1) / count
        return values

    def _solve(self, draws: Floats, discount: float) -> Floats:
        """[b, p]: the coefficients of each of `draws` [b, g]."""
        penalty = np.full(self.reward.shape[1], PENALTY)
        penalty[0] = _TINY
        system: Floats = np.add(_weighted(draws, self.gram), np.diag(penalty))
        if self.following is not None:
            system -= discount * _weighted(draws, self.following)
        return np.asarray(np.linalg.solve(system, (draws @ self.reward)[:, :, None])[:, :, 0], np.float64)

    def predict(self, theta: Floats, contexts: Floats) -> Floats:
        """Q(x, a) of every action: [n, k]."""
        seen, shared = self.basis(contexts), self.basis.shared
        table = theta[shared:].reshape(self.actions, self.basis.own)
        predicted: Floats = (seen @ theta[:shared])[:, None] + seen[:, : self.basis.own] @ table.T
        return predicted


def _weighted(draws: Floats, tables: Floats) -> Floats:
    """[b, p, p]: sums of `tables` [g, p, p] weighted by each of `draws` [b, g]."""
    summed: Floats = (draws @ tables.reshape(len(tables), -1)).reshape(len(draws), *tables.shape[1:])
    return summed
