"""Pairs out of one row: the reply that was sent, beside what was written for it and not sent. Pure."""

from collections.abc import Iterator
from typing import Any

from multimood.experience.exports.content import completion_of, prompt_of
from multimood.experience.exports.wishes import PairSource, Wishes
from multimood.experience.schema import Row


def pairs_of_attempts(row: Row, wishes: Wishes) -> Iterator[dict[str, Any]]:
    """A pair for every attempt that is worse than the one that was sent; what was sent is always the chosen one.

    `attempts`: both were scored by the judges that chose between them, `min_gap` apart. `refused`: the guard did not
    let it go; it has no score, and ends where the guard stopped it. A reply that broke the crisis rule makes no pair,
    nor does one that the model did not write.
    """
    prompt, completion = prompt_of(row, wishes.dialogue_chars), completion_of(row)
    if prompt is None or completion is None or row["crisis_gate_failed"] or not row["attempt_texts"]:
        return
    made = {one["index"]: one for one in row["reply_attempts"] or ()}
    sent = next((one for one in made.values() if one["sent"]), None)
    if sent is None or sent["faults"]:
        return
    seen = {row["reply_text"]}
    for written in row["attempt_texts"]:
        other = made.get(written["index"])
        if other is None or other is sent or written["text"] in seen:
            continue
        source = _source(sent, other, wishes.min_gap)
        if source not in wishes.pairs:
            continue
        seen.add(written["text"])
        yield {
            "prompt": prompt, "chosen": completion,
            "rejected": [{"role": "assistant", "content": written["text"]}],
            "score_chosen": sent["score"], "score_rejected": other["score"],
            "row_id_chosen": row["row_id"], "row_id_rejected": row["row_id"], "source": source,
            "attempt_chosen": sent["index"], "attempt_rejected": other["index"], "faults_rejected": other["faults"],
        }  # fmt: skip


def _source(sent: dict[str, Any], other: dict[str, Any], min_gap: float) -> PairSource | None:
    """Why the other one is worse; None where nobody can say that it is."""
    if other["faults"]:
        return "refused"
    if sent["score"] is None or other["score"] is None:
        return None
    gap = sent["score"] - other["score"]
    return "attempts" if gap > 0 and gap >= min_gap else None
