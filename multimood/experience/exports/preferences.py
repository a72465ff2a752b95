"""What preference learners take, in TRL's conversational form: examples, desirable or not (KTO). Pairs: `pairs.py`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from multimood.experience.exports.content import completion_of, prompt_of
from multimood.experience.exports.parquet import write_card, write_shards
from multimood.experience.exports.wishes import CREATED, Exported, NothingToExportError, Rows, Wishes
from multimood.experience.schema import Row

MESSAGES: Final = pa.list_(pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())]))
KTO: Final = pa.schema(
    [pa.field("prompt", MESSAGES), pa.field("completion", MESSAGES), pa.field("label", pa.bool_()),
     pa.field("reward", pa.float64()), pa.field("row_id", pa.string()), pa.field("strategy", pa.string())]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """A generated reply with a reward."""

    row_id: str
    prompt: list[dict[str, str]]
    completion: list[dict[str, str]]
    reward: float
    strategy: str | None
    refused: bool
    """It broke the crisis rule: whatever its reward, it is nothing to learn to write."""


def export_kto(rows: Rows, out: Path, wishes: Wishes) -> Exported:
    """Write every generated reply with a reward as an example: `label` says whether it is desirable."""
    done = Exported()

    def examples() -> Iterator[dict[str, Any]]:
        for row in rows():
            done.rows += 1
            one = example_of(row, wishes, done)
            if one is not None:
                yield {
                    "prompt": one.prompt, "completion": one.completion,
                    "label": one.reward >= wishes.threshold and not one.refused,
                    "reward": one.reward, "row_id": one.row_id, "strategy": one.strategy,
                }  # fmt: skip

    done.items = write_shards(examples(), KTO, out)
    if not done.items:
        raise NothingToExportError(f"no reply can be an example: {why(done)}")
    about = f"{CREATED}: a reply is desirable from a {wishes.told} of {wishes.threshold:g} on. It holds what was said."
    write_card(out, "Replies, desirable or not", about, task="text-generation")
    return done


def example_of(row: Row, wishes: Wishes, done: Exported) -> Example | None:
    """The row as an example; None when it is none, which is counted with the reason."""
    prompt, completion, reward = prompt_of(row, wishes.dialogue_chars), completion_of(row), wishes.reward(row)
    if prompt is None:
        done.left_out["no dialogue"] += 1
    elif completion is None:
        done.left_out["not written by a model"] += 1
    elif reward is None:
        done.left_out[f"no {wishes.target}"] += 1
    else:
        refused = bool(row["crisis_gate_failed"])
        return Example(row["row_id"], prompt, completion, reward, row["reply_strategy"], refused)
    return None


def why(done: Exported) -> str:
    """How much was read and left out, for an error."""
    reasons = ", ".join(f"{reason} ({count})" for reason, count in sorted(done.left_out.items()))
    return f"{done.rows} rows were read, left out: {reasons or 'none'}"
