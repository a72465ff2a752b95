"""Pairs of replies to one dialogue (DPO), in TRL's conversational form: two logged ones, or two attempts at one.

Preferring one reply to another means something only where both answer the same. So a pair is either of two rows whose
dialogue is the same to the letter, or of one row: what was sent, and what was written for it and not sent.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from multimood.experience.exports.attempts import pairs_of_attempts
from multimood.experience.exports.parquet import write_card, write_shards
from multimood.experience.exports.preferences import MESSAGES, Example, example_of, why
from multimood.experience.exports.wishes import CREATED, Exported, NothingToExportError, Rows, Wishes
from multimood.experience.schema import Row

DPO: Final = pa.schema(
    [pa.field("prompt", MESSAGES), pa.field("chosen", MESSAGES), pa.field("rejected", MESSAGES),
     pa.field("score_chosen", pa.float64()), pa.field("score_rejected", pa.float64()),
     pa.field("row_id_chosen", pa.string()), pa.field("row_id_rejected", pa.string()), pa.field("source", pa.string()),
     pa.field("attempt_chosen", pa.int32()), pa.field("attempt_rejected", pa.int32()),
     pa.field("faults_rejected", pa.list_(pa.string()))]
)  # fmt: skip
"""`source` says where a pair comes from, see `Wishes.pairs`. The attempts' columns are null in pairs of two rows."""


def export_dpo(rows: Rows, out: Path, wishes: Wishes) -> Exported:
    """Write the pairs of the sources that are wished for, each with where it comes from.

    Of more than two logged replies to one dialogue, the best and the worst are the pair. The log is read twice; memory
    is some 200 bytes a row.
    """
    done = Exported()
    extremes = _Extremes(_extremes(rows, wishes, done) if "dialogues" in wishes.pairs else [])
    counted = Exported() if "dialogues" in wishes.pairs else done

    def pairs() -> Iterator[dict[str, Any]]:
        for row in rows():
            counted.rows += 1
            for pair in (*extremes.of(row, wishes, done), *pairs_of_attempts(row, wishes)):
                done.sources[pair["source"]] += 1
                yield pair

    done.items = write_shards(pairs(), DPO, out)
    if not done.items:
        raise NothingToExportError(
            f"no dialogue was answered in two ways whose {wishes.target} differs by {wishes.min_gap:g}, and no "
            f"attempts at one reply make a pair: {why(done)}. Lower --min-gap, or take trl-kto, which needs no pairs"
        )
    about = (
        f"{CREATED}: two replies to the same dialogue. `source` is dialogues (two logged replies whose {wishes.told} "
        f"differs by at least {wishes.min_gap:g}), attempts (two candidates whose scores by the local judges do), or "
        "refused (the rejected one was refused by the guard and never sent, and ends where it was stopped). It holds "
        "what was said, and what the guard refused: nothing to be shown to anybody."
    )
    write_card(out, "Pairs of replies", about, task="text-generation")
    return done


class _Extremes:
    """Pairs of rows on their way: the first of a pair waits for the second."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        self._partner = {one: other for best, worst in found for one, other in ((best, worst), (worst, best))}
        self._best = {best for best, _ in found}
        self._held: dict[str, Example] = {}

    def of(self, row: Row, wishes: Wishes, done: Exported) -> list[dict[str, Any]]:
        """The pair that this row completes, if it does."""
        if row["row_id"] not in self._partner:
            return []
        one = example_of(row, wishes, Exported())
        if one is None:
            return []
        other = self._held.pop(self._partner[one.row_id], None)
        if other is None:
            self._held[one.row_id] = one
            return []
        best, worst = (one, other) if one.row_id in self._best else (other, one)
        if best.completion == worst.completion:
            done.left_out["the same reply, scored in two ways"] += 2
            return []
        return [
            {
                "prompt": best.prompt, "chosen": best.completion, "rejected": worst.completion,
                "score_chosen": best.reward, "score_rejected": worst.reward, "row_id_chosen": best.row_id,
                "row_id_rejected": worst.row_id, "source": "dialogues",
            }
        ]  # fmt: skip


def _extremes(rows: Rows, wishes: Wishes, done: Exported) -> list[tuple[str, str]]:
    """The row ids of the best and the worst reply to each dialogue, where they are far enough apart."""
    found: dict[bytes, tuple[float, str, float, str]] = {}
    for row in rows():
        done.rows += 1
        one = example_of(row, wishes, done)
        if one is None:
            continue
        key = hashlib.sha256(json.dumps(one.prompt).encode()).digest()[:16]
        high, best, low, worst = found.get(key, (-math.inf, "", math.inf, ""))
        if one.reward > high and not one.refused:
            high, best = one.reward, one.row_id
        if one.reward < low:
            low, worst = one.reward, one.row_id
        found[key] = high, best, low, worst
    return [(best, worst) for high, best, low, worst in found.values() if high > low and high - low >= wishes.min_gap]
