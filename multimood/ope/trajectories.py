"""Whole conversations out of a log, for estimators with horizons. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from multimood.ope.log import FORCED, NO_HOLE, Bools, Floats, Ints, Log


@dataclass(frozen=True, slots=True)
class Trajectories:
    """Conversations from their first turn on, cut after `horizon` turns; after its last turn a conversation earns 0.

    A conversation with a gap, or with a decision that is not known or whose reward is not, is left out as a whole. A
    turn that was forced stays, without a reward it earns 0. A decision that was not carried out stays as what was
    decided: what the guard or the fallback made of it is part of what follows from it.
    """

    log: Log
    """Its `conversation` counts from 0 without gaps; its rewards are finite."""
    conversations: int
    horizon: int
    left_out: Mapping[str, int]
    """Conversations, by reason."""

    @property
    def first(self) -> Bools:
        """[n]: the first turns."""
        begins: Bools = self.log.step == 0
        return begins

    @property
    def following(self) -> Ints:
        """[n]: the row of the conversation's next turn; -1 after the last."""
        rows = np.arange(1, len(self.log) + 1)
        return np.where(np.append(self.log.step[1:] > 0, [False]), rows, -1)

    @property
    def timed(self) -> Log:
        """The log with time in its covariates: what is still to be earned depends on it."""
        time = (self.log.step / self.horizon)[:, None]
        return replace(self.log, state=np.hstack([self.log.covariates, time, time**2]), state_version="")

    def table(self, values: Floats, empty: float) -> Floats:
        """Values [n] of the turns as [conversations, horizon], `empty` after a conversation's last turn."""
        laid: Floats = np.full((self.conversations, self.horizon), empty)
        laid[self.log.conversation, self.log.step] = values
        return laid


def trajectories(log: Log, horizon: int | None = None) -> Trajectories:
    """Find the whole conversations. `horizon` None: as long as the longest."""
    forced = _forced(log)
    reasons: Counter[str] = Counter()
    bad = np.zeros(len(log), bool)
    if len(log):
        number = np.unique(log.conversation, return_inverse=True)[1]
        start = np.searchsorted(number, np.arange(number[-1] + 1))
        gap = log.step != np.arange(len(log)) - start[number]
        if log.hole is not None:  # also behind the last turn that is known: the conversation went on
            gap |= log.hole < (NO_HOLE if horizon is None else horizon)
        late = log.step >= horizon if horizon is not None else np.zeros(len(log), bool)
        silent = ~np.isfinite(log.rewards) & ~forced & ~late
        for reason, rows in (("gap", gap & ~late), ("no_reward", silent)):
            whole = np.isin(number, number[rows & ~bad])
            reasons[reason] += len(np.unique(number[whole & ~bad]))
            bad |= whole
        bad |= late
    kept = log.take(~bad)
    number = np.unique(kept.conversation, return_inverse=True)[1].astype(np.int64)
    rewards = np.nan_to_num(kept.rewards, nan=0.0)
    final = replace(kept, conversation=number, rewards=rewards)
    longest = int(kept.step.max()) + 1 if len(kept) else 0
    many = int(number.max()) + 1 if len(kept) else 0
    return Trajectories(final, many, longest, {reason: count for reason, count in reasons.items() if count})


def _forced(log: Log) -> Bools:
    if FORCED not in log.actions:
        return np.zeros(len(log), bool)
    found: Bools = log.chosen == log.actions.index(FORCED)
    return found
