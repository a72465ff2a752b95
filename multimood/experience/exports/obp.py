"""Open Bandit Pipeline (Saito et al. 2021): its dictionary of logged bandit feedback, as one npz file."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from multimood.errors import NotFoundError
from multimood.experience.exports.transitions import transitions
from multimood.experience.exports.wishes import Exported, Rows, Wishes
from multimood.perception.state import names_of

FILE: Final = "bandit_feedback.npz"


def export_obp(rows: Rows, out: Path, wishes: Wishes) -> Exported:
    """Write the file. The behaviour policy's distribution is in it as `behaviour`, for policies that start from it."""
    done = Exported()
    found = transitions(rows, wishes, done)
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out / FILE,
        n_rounds=np.array(len(found.actions)),
        n_actions=np.array(len(found.labels)),
        context=found.states.astype(np.float64),
        action=found.actions,
        reward=found.rewards,
        pscore=found.propensities,
        behaviour=found.distributions,
        step=found.steps,
        row_id=np.array(found.row_ids),
        conversation=np.array(found.conversations),
        features=np.array(names_of(found.version)),
        strategies=np.array(found.labels),
        reward_of=np.array(wishes.told),
    )
    done.items = len(found.actions)
    return done


def load_bandit_feedback(folder: Path) -> dict[str, Any]:
    """What Open Bandit Pipeline takes as `bandit_feedback`; nothing in the file is run. Raises NotFoundError.

    Without a position: one strategy is chosen at a time. `action_context` is one-hot. Beside its own keys there are
    `behaviour` (n_rounds, n_actions), `conversation`, `step`, `features`, `strategies` and `reward_of`.
    """
    path = folder / FILE if folder.is_dir() else folder
    if not path.is_file():
        raise NotFoundError(f"{path} does not exist: write it with `multimood experience export --to obp`")
    with np.load(path, allow_pickle=False) as kept:
        found: dict[str, Any] = {name: kept[name] for name in kept.files}
    found["n_rounds"], found["n_actions"] = int(found["n_rounds"]), int(found["n_actions"])
    return found | {"position": None, "expected_reward": None, "action_context": np.eye(found["n_actions"])}
