"""The rows that off-policy learners take, as arrays: state, action, propensity, reward, whose turn it was.

Only rows that are fit for off-policy evaluation, of one list of features and so of one taxonomy.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimood.experience.exports.wishes import Exported, NothingToExportError, Rows, Wishes
from multimood.perception.state import STRATEGIES, names_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Transitions:
    """`n` turns. Memory: some 400 bytes a turn."""

    version: str
    """Of the list of features."""
    row_ids: Sequence[str]
    conversations: Sequence[str]
    """`tenant/pseudonym`."""
    steps: NDArray[np.int64]
    """(n)."""
    states: NDArray[np.float32]
    """(n, features)."""
    actions: NDArray[np.int64]
    """(n), index into `labels`."""
    distributions: Floats
    """(n, actions): the behaviour policy; 0 for what was not eligible."""
    rewards: Floats
    """(n)."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The strategies, in the order of the actions."""
        return STRATEGIES[self.version.partition(":")[2]]

    @property
    def propensities(self) -> Floats:
        """(n): the behaviour policy's probability of each action."""
        found: Floats = self.distributions[np.arange(len(self.actions)), self.actions]
        return found


def transitions(rows: Rows, wishes: Wishes, done: Exported) -> Transitions:
    """Collect them. Raises NothingToExportError: there are none, or they are of several lists of features."""
    ids: list[str] = []
    conversations: list[str] = []
    steps, actions = array("q"), array("q")
    states, distributions, rewards = array("f"), array("d"), array("d")
    versions: dict[str, int] = {}
    for row in rows():
        done.rows += 1
        reward = wishes.reward(row)
        reason = _unusable(row, reward, wishes)
        if reason:
            done.left_out[reason] += 1
            continue
        version = row["state_version"]
        versions[version] = versions.get(version, 0) + 1
        if len(versions) > 1:
            raise NothingToExportError(
                f"the log has states of {' and '.join(sorted(versions))}, which are no columns of one table: "
                "export days of one of them (--from, --to)"
            )
        labels = STRATEGIES[version.partition(":")[2]]
        given = {item["label"]: item["p"] for item in row["strategy"]}
        ids.append(row["row_id"])
        conversations.append(f"{row['tenant']}/{row['conversation_id']}")
        steps.append(row["step"])
        actions.append(labels.index(row["chosen"]))
        states.extend(row["state"])
        distributions.extend(given.get(label, 0.0) for label in labels)
        rewards.append(reward if reward is not None else 0.0)
    if not ids:
        reasons = ", ".join(f"{count}: {reason}" for reason, count in sorted(done.left_out.items()))
        raise NothingToExportError(f"none of {done.rows} rows can be used ({reasons or 'the log is empty'})")
    (version,) = versions
    n = len(ids)
    return Transitions(
        version,
        ids,
        conversations,
        np.frombuffer(steps, np.int64),
        np.frombuffer(states, np.float32).reshape(n, -1),
        np.frombuffer(actions, np.int64),
        np.frombuffer(distributions, np.float64).reshape(n, -1),
        np.frombuffer(rewards, np.float64),
    )


def _unusable(row: dict[str, Any], reward: float | None, wishes: Wishes) -> str:
    """Why a row is left out; empty: it is not."""
    if not row["fit_for_ope"]:
        return f"unfit: {row['unfit_reason']}"
    if reward is None:
        return f"no {wishes.target}"
    if row["state"] is None or row["step"] is None:
        return "no state"
    try:
        fits = len(row["state"]) == len(names_of(row["state_version"] or ""))
    except ValueError:
        return f"state of {row['state_version']}, which this version does not know"
    labels = STRATEGIES[row["state_version"].partition(":")[2]]
    if not fits or row["chosen"] not in labels:
        return "a state or a strategy that does not fit its version"
    return ""
