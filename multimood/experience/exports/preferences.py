"""What preference learners take, in TRL's conversational form: examples, desirable or not (KTO), and pairs (DPO)."""

import hashlib
import json
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
_ABOUT: Final = [pa.field("row_id", pa.string()), pa.field("strategy", pa.string())]
KTO: Final = pa.schema(
    [pa.field("prompt", MESSAGES), pa.field("completion", MESSAGES), pa.field("label", pa.bool_()),
     pa.field("reward", pa.float64()), *_ABOUT]
)  # fmt: skip
DPO: Final = pa.schema(
    [pa.field("prompt", MESSAGES), pa.field("chosen", MESSAGES), pa.field("rejected", MESSAGES),
     pa.field("score_chosen", pa.float64()), pa.field("score_rejected", pa.float64()),
     pa.field("row_id_chosen", pa.string()), pa.field("row_id_rejected", pa.string())]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Example:
    row_id: str
    prompt: list[dict[str, str]]
    completion: list[dict[str, str]]
    reward: float
    strategy: str | None


def export_kto(rows: Rows, out: Path, wishes: Wishes) -> Exported:
    """Write every generated reply with a reward as an example: `label` says whether it is desirable."""
    done = Exported()

    def examples() -> Iterator[dict[str, Any]]:
        for one in _examples(rows(), wishes, done):
            yield {
                "prompt": one.prompt, "completion": one.completion, "label": one.reward >= wishes.threshold,
                "reward": one.reward, "row_id": one.row_id, "strategy": one.strategy,
            }  # fmt: skip

    done.items = write_shards(examples(), KTO, out)
    if not done.items:
        raise NothingToExportError(f"no reply can be an example: {_why(done)}")
    about = (
        f"{CREATED}: a reply is desirable from a {wishes.target} of {wishes.threshold:g} on. It holds what was said."
    )
    write_card(out, "Replies, desirable or not", about, task="text-generation")
    return done


def export_dpo(rows: Rows, out: Path, wishes: Wishes) -> Exported:
    """Write a pair for every dialogue that was answered in two ways whose rewards differ by `min_gap`.

    Preferring one reply to another means something only where both answer the same: the dialogue must be the same to
    the letter. Of more than two replies to one, the best and the worst are the pair. The log is read twice; memory is
    some 200 bytes a row.
    """
    done = Exported()
    extremes = _extremes(rows, wishes, done)
    wanted = {row_id for pair in extremes for row_id in pair}
    held: dict[str, _Example] = {}

    def pairs() -> Iterator[dict[str, Any]]:
        partner = {one: other for best, worst in extremes for one, other in ((best, worst), (worst, best))}
        best_ids = {best for best, _ in extremes}
        for one in _examples(rows(), wishes, Exported()):
            if one.row_id not in wanted:
                continue
            other = held.pop(partner[one.row_id], None)
            if other is None:
                held[one.row_id] = one
                continue
            best, worst = (one, other) if one.row_id in best_ids else (other, one)
            if best.completion == worst.completion:
                done.left_out["the same reply, scored in two ways"] += 2
                continue
            yield {
                "prompt": best.prompt, "chosen": best.completion, "rejected": worst.completion,
                "score_chosen": best.reward, "score_rejected": worst.reward,
                "row_id_chosen": best.row_id, "row_id_rejected": worst.row_id,
            }  # fmt: skip

    done.items = write_shards(pairs(), DPO, out) if extremes else 0
    if not done.items:
        raise NothingToExportError(
            f"no dialogue was answered in two ways whose {wishes.target} differs by {wishes.min_gap:g}: {_why(done)}. "
            "Lower --min-gap, or take trl-kto, which needs no pairs"
        )
    about = (
        f"{CREATED}: two replies to the same dialogue whose {wishes.target} differs by at least {wishes.min_gap:g}. "
        "It holds what was said."
    )
    write_card(out, "Pairs of replies", about, task="text-generation")
    return done


def _extremes(rows: Rows, wishes: Wishes, done: Exported) -> list[tuple[str, str]]:
    """The row ids of the best and the worst reply to each dialogue, where they are far enough apart."""
    found: dict[bytes, tuple[float, str, float, str]] = {}
    for one in _examples(rows(), wishes, done):
        key = hashlib.sha256(json.dumps(one.prompt).encode()).digest()[:16]
        high, best, low, worst = found.get(key, (one.reward, one.row_id, one.reward, one.row_id))
        if one.reward > high:
            high, best = one.reward, one.row_id
        if one.reward < low:
            low, worst = one.reward, one.row_id
        found[key] = high, best, low, worst
    return [(best, worst) for high, best, low, worst in found.values() if high > low and high - low >= wishes.min_gap]


def _examples(rows: Iterator[Row], wishes: Wishes, done: Exported) -> Iterator[_Example]:
    for row in rows:
        done.rows += 1
        prompt, completion, reward = prompt_of(row, wishes.dialogue_chars), completion_of(row), wishes.reward(row)
        if prompt is None:
            done.left_out["no dialogue"] += 1
        elif completion is None:
            done.left_out["not written by a model"] += 1
        elif reward is None:
            done.left_out[f"no {wishes.target}"] += 1
        else:
            yield _Example(row["row_id"], prompt, completion, reward, row["reply_strategy"])


def _why(done: Exported) -> str:
    reasons = ", ".join(f"{reason} ({count})" for reason, count in sorted(done.left_out.items()))
    return f"{done.rows} rows were read, left out: {reasons or 'none'}"
