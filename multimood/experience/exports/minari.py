"""Minari (Younis et al. 2024): conversations as episodes, written by its own storage.

An episode is an unbroken run of a conversation's turns. Where a turn is missing or was no action of the policy, the
episode is truncated and another begins behind it; the run at the end of a conversation is terminated. Minari wants an
observation after the last action: of a terminated run nobody made one, so the last one stands there again.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from multimood.errors import ConfigurationError
from multimood.experience.exports.transitions import Transitions, transitions
from multimood.experience.exports.wishes import CREATED, Exported, Rows, Wishes
from multimood.perception.state import names_of

DATASET: Final = "multimood/experience-v0"
FOLDER: Final = "minari"


def export_minari(rows: Rows, out: Path, wishes: Wishes) -> Exported:
    """Write a dataset that `minari.MinariDataset(out / "minari" / "data")` opens.

    Raises:
        ConfigurationError: Minari is not installed here.
    """
    try:
        from gymnasium import spaces  # noqa: PLC0415
        from minari import __version__ as minari_version  # noqa: PLC0415
        from minari.data_collector.episode_buffer import EpisodeBuffer  # noqa: PLC0415
        from minari.dataset.minari_storage import MinariStorage  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"--to minari needs the package {error.name}: make research-env, then .venv-research/bin/multimood ..."
        ) from None
    done = Exported()
    found = transitions(rows, wishes, done)
    place = (out / FOLDER / "data").absolute()  # with a relative path its storage loses itself
    place.mkdir(parents=True, exist_ok=True)
    storage = MinariStorage.new(
        place,
        observation_space=spaces.Box(-np.inf, np.inf, (found.states.shape[1],), np.float32),
        action_space=spaces.Discrete(len(found.labels)),
        data_format="hdf5",
    )
    storage.update_metadata(
        {
            "dataset_id": DATASET,
            "algorithm_name": "behaviour policy",
            "author": {"MultiMood"},
            "author_email": {"unknown"},
            "code_permalink": "unknown",
            "description": f"{CREATED}; reward: {wishes.told}",
            "minari_version": minari_version,
            "state_version": found.version,
            "features": list(names_of(found.version)),
            "strategies": list(found.labels),
        }
    )
    storage.update_episodes(EpisodeBuffer(id=number, **one) for number, one in enumerate(episodes(found)))
    done.items = len(found.actions)
    return done


def episodes(found: Transitions) -> Iterator[dict[str, Any]]:
    """What Minari calls an episode's buffer: T actions, T + 1 observations. Pure."""
    order = sorted(range(len(found.actions)), key=lambda at: (found.conversations[at], found.steps[at]))
    run: list[int] = []
    for at, after in zip(order, [*order[1:], None], strict=True):
        run.append(at)
        same = after is not None and found.conversations[after] == found.conversations[at]
        if same and after is not None and found.steps[after] == found.steps[at] + 1:
            continue
        yield _episode(found, run, is_end=not same)
        run = []


def _episode(found: Transitions, run: list[int], *, is_end: bool) -> dict[str, Any]:
    ended = [False] * (len(run) - 1) + [True]
    return {
        "observations": found.states[[*run, run[-1]]],
        "actions": found.actions[run],
        "rewards": found.rewards[run].tolist(),
        "terminations": ended if is_end else [False] * len(run),
        "truncations": [False] * len(run) if is_end else ended,
        "infos": {
            "propensity": np.append(found.propensities[run], np.nan),
            "step": np.append(found.steps[run], -1),
        },
    }
