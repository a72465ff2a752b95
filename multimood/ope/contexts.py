"""What a policy may look at, from a row of the experience log. The one place that knows which columns that is. Pure.

The context is made of columns that every version has. Newer logs have a column `state` beside it, the vector that the
policy saw: regressions use that where every row has one. Neither holds anything that came after the decision.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES, STAGES

STRATEGIES: Final = tuple(dict.fromkeys((*MESC_STRATEGIES, *ESCONV_STRATEGIES)))
"""Of both taxonomies, in their order."""
LATE: Final = 20
"""Turns after this one are alike."""
FEATURES: Final = (
    *(f"emotion:{name}" for name in EMOTIONS),
    "intensity",
    *(f"stage:{name}" for name in STAGES),
    "step",
    "first",
    "risk",
    "audio",
    "video",
    *(f"before:{name}" for name in STRATEGIES),
)
"""`step` is the turn's number over 20, at most 1; `first` is 1 in the first turn; `risk` is the screening's score;
`audio` and `video` are 1 where they could be used; `before:` is 1 for the strategy of the system's turn before."""


def context(row: Mapping[str, Any]) -> list[float]:
    """The values of `FEATURES`; what is not known is 0."""
    emotion = {item["label"]: item["p"] for item in row["user_emotion"] or ()}
    step = row["step"]
    usable = modalities(row)
    before = strategy_before(row)
    return [
        *(_number(emotion.get(name)) for name in EMOTIONS),
        _number(row["intensity"]),
        *(float(row["stage"] == name) for name in STAGES),
        min(step or 0, LATE) / LATE,
        float(step == 0),
        _number(row["screening_score"]),
        float("audio" in usable),
        float("video" in usable),
        *(float(before == name) for name in STRATEGIES),
    ]


def state(row: Mapping[str, Any]) -> Sequence[float] | None:
    """The vector that the policy saw, if the row has one."""
    return row.get("state") or None


def guard(row: Mapping[str, Any]) -> str:
    """What became of what was written: `gate failed` (the crisis rule), `refused` (a text, by the guard), or `passed`.

    Known after the decision: for slices, never for a policy. `unknown`: nobody looked.
    """
    attempts = row.get("reply_attempts")
    if row.get("crisis_gate_failed"):
        return "gate failed"
    if any(attempt["faults"] for attempt in attempts or ()):
        return "refused"
    return "passed" if attempts or row.get("crisis_gate_failed") is not None else "unknown"


def modalities(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The modalities that were announced and could be used, in the row's order."""
    missing = {item["modality"] for item in row["missing"] or ()}
    return tuple(name for name in row["modalities"] or () if name not in missing)


def strategy_before(row: Mapping[str, Any]) -> str | None:
    """The strategy of the system's last turn, as far as the dialogue is kept."""
    for turn in reversed(row["dialogue"] or ()):
        if turn["role"] == "system":
            return turn["label"] or None
    return None


def _number(value: float | None) -> float:
    return 0.0 if value is None else float(value)
