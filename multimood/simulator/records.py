"""Simulated turns as rows of the experience log, with the real pipeline's columns and nothing of the hidden state."""

import uuid
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from multimood.experience.naming import EXPERIENCE, FEEDBACK
from multimood.experience.schema import COLUMNS, FEEDBACK_COLUMNS, FEEDBACK_SCHEMA, SCHEMA, VERSION, Row
from multimood.experience.table import encode
from multimood.ope.contexts import STRATEGIES
from multimood.ope.log import picked
from multimood.simulator.environment import Turn
from multimood.simulator.perceived import LOCALES
from multimood.simulator.stated import LEVELS, level_of
from multimood.taxonomy import EMOTIONS, STAGES

TENANT: Final = "simulator"
POLICY_VERSION: Final = "simulator;by the book"
_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "multimood:simulator")
_EMPTY: Final[Row] = {column.name: None for column in COLUMNS}
_NO_FEEDBACK: Final[Row] = {column.name: None for column in FEEDBACK_COLUMNS}


def rows(turns: Iterable[Turn], name: str = "simulated") -> Iterator[Row]:
    """One row a turn, with the column `feedback`; `name` tells one simulation's ids from another's."""
    for turn in turns:
        propensity = picked(turn.behaviour, turn.chosen)
        for number in range(len(turn.conversation)):
            yield _row(turn, number, float(propensity[number]), name)


def utterance(name: str, conversation: int, step: int) -> str:
    """Id of a turn."""
    return f"{name}-{conversation}-{step}"


def _row(turn: Turn, number: int, propensity: float, name: str) -> dict[str, Any]:
    conversation = int(turn.conversation[number])
    ids = utterance(name, conversation, turn.step)
    perceived, setting, forced = turn.perceived, turn.setting, bool(turn.forced[number])
    chosen = turn.actions[turn.chosen[number]]
    before = int(turn.before[number])
    spoken = [("audio", setting.audio[number]), ("video", setting.video[number])]
    reward = float(turn.rewards[number])
    return _EMPTY | {
        "schema_version": VERSION,
        "row_id": str(uuid.uuid5(_NAMESPACE, ids)),
        "tenant": TENANT,
        "conversation_id": f"{name}-{conversation}",
        "utterance_id": ids,
        "locale": LOCALES[setting.locale[number]],
        "learning_consent": True,
        "retention_class": "standard",
        "has_decision": True,
        "has_reply": True,
        "fit_for_ope": not forced,
        "unfit_reason": "override" if forced else None,
        "step": turn.step,
        "modalities": ["text", *(modality for modality, there in spoken if there)],
        "missing": [],
        "screening_level": "elevated" if forced else LEVELS[int(level_of(perceived.risk[number]))],
        "screening_score": float(perceived.risk[number]),
        "user_emotion": _distribution(EMOTIONS, perceived.emotion[number]),
        "intensity": float(perceived.intensity[number]),
        "stage": STAGES[perceived.stage[number]],
        "strategy": [] if forced else _eligible(turn, number),
        "chosen": None if forced else chosen,
        "propensity": 0.0 if forced else propensity,
        "override": "crisis" if forced else "none",
        "policy_version": POLICY_VERSION,
        "dialogue": []
        if before < 0
        else [{"role": "system", "text": "", "utterance_id": "", "label": STRATEGIES[before]}],
        "reply_source": "vetted_crisis" if forced else "generated",
        "reply_strategy": None if forced else chosen,
        "reward": reward,
        "reward_version": "simulator",
        "state": None if turn.state is None else turn.state[number].tolist(),
        "state_version": turn.state_version or None,
        "eligible": None if forced else [turn.actions[place] for place in np.flatnonzero(turn.eligible[number])],
        "feedback": [{"rating": reward, "intensity": float(turn.relieved[number])}],
    }


def _distribution(labels: tuple[str, ...], shares: Any) -> list[dict[str, Any]]:
    return [{"label": label, "p": float(p)} for label, p in zip(labels, shares, strict=True)]


def _eligible(turn: Turn, number: int) -> list[dict[str, Any]]:
    return [
        {"label": turn.actions[place], "p": float(turn.behaviour[number, place])}
        for place in np.flatnonzero(turn.eligible[number])
    ]


def save(found: Iterable[Row], folder: Path, rows_a_file: int) -> int:
    """Write rows as the log's files, feedback beside them, a few thousand in memory at a time; gives how many."""
    written = 0
    for part, some in enumerate(_some(found, rows_a_file)):
        given = [_feedback(row, written + number) for number, row in enumerate(some)]
        for prefix, stem, table, schema in (
            (EXPERIENCE, "reply", some, SCHEMA),
            (FEEDBACK, "feedback", given, FEEDBACK_SCHEMA),
        ):
            file = folder / prefix / f"{stem}-0-{part}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(table, schema))
        written += len(some)
    return written


def _some(found: Iterable[Row], most: int) -> Iterator[list[Row]]:
    iterator = iter(found)
    while some := list(islice(iterator, most)):
        yield some


def _feedback(row: Row, offset: int) -> Row:
    about = {name: row[name] for name in ("schema_version", "tenant", "conversation_id", "utterance_id")}
    own = {"feedback_id": row["row_id"], "source": TENANT, "feedback_offset": offset}
    given: Row = row["feedback"][0]
    return _NO_FEEDBACK | about | own | given
