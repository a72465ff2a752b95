"""Small logs made by hand, for tests of off-policy evaluation."""

from collections.abc import Sequence

import numpy as np

from multimood.experience.schema import COLUMNS, Row
from multimood.ope.log import Floats, Log

EMPTY = {column.name: None for column in COLUMNS}


def log_of(
    chosen: Sequence[int],
    rewards: Sequence[float],
    behaviour: Floats,
    contexts: Floats | None = None,
    *,
    conversation: Sequence[int] | None = None,
    step: Sequence[int] | None = None,
) -> Log:
    """A log of single turns, or of conversations."""
    count, actions = behaviour.shape
    return Log(
        actions=tuple(f"a{number}" for number in range(actions)),
        features=("x",) if contexts is None else tuple(f"x{number}" for number in range(contexts.shape[1])),
        contexts=np.zeros((count, 1)) if contexts is None else contexts,
        chosen=np.asarray(chosen),
        behaviour=behaviour,
        eligible=behaviour > 0,
        rewards=np.asarray(rewards, float),
        fit=np.ones(count, bool),
        conversation=np.arange(count) if conversation is None else np.asarray(conversation),
        step=np.zeros(count, np.int64) if step is None else np.asarray(step),
        slices={},
    )


def row(number: int = 0, **changed: object) -> Row:
    """A fit row of the experience log."""
    return EMPTY | {
        "row_id": f"00000000-0000-0000-0000-{number:012d}", "tenant": "t", "conversation_id": f"c{number}",
        "utterance_id": f"u{number}", "locale": "en", "has_decision": True, "has_reply": True, "fit_for_ope": True,
        "step": 0, "modalities": ["text"], "missing": [], "screening_level": "none", "screening_score": 0.1,
        "user_emotion": [{"label": "joy", "p": 0.25}, {"label": "sadness", "p": 0.75}], "intensity": 0.5,
        "stage": "exploration", "strategy": [{"label": "approval", "p": 0.75}, {"label": "restatement", "p": 0.25}],
        "chosen": "approval", "propensity": 0.75, "override": "none", "policy_version": "p", "dialogue": [],
        "reply_source": "generated", "reward": 0.5, "feedback": [],
    } | changed  # fmt: skip
