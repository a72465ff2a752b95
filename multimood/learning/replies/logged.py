"""Examples and pairs out of the experience log, read as a stream: only what left, and only with the words there."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from multimood.experience import Row
from multimood.experience.exports.attempts import pairs_of_attempts
from multimood.experience.exports.wishes import Rows, Wishes
from multimood.generation import Ask, Situation
from multimood.generation.ask import ChatMessage
from multimood.generation.dialogue import Said
from multimood.learning.replies.contexts import Asking, Context, Message
from multimood.learning.replies.correction import Corrected, copies, weight
from multimood.learning.replies.pairs import Pair
from multimood.learning.replies.sampling import Likelihood
from multimood.learning.replies.sft import Example, example

_KEY: Final = 16


class Likely(Protocol):
    """The model that is taught, as far as a log needs it."""

    def likelihood_of(self, chat: list[Message], ids: list[int]) -> Likelihood:
        """How likely it finds tokens as a reply to a chat."""


@dataclass(frozen=True, slots=True)
class FromLog:
    """How a log is read."""

    asking: Asking
    wishes: Wishes
    """What counts as reward, and how far a pair's are apart."""
    least_reward: float
    seed: int
    likely: Likely | None = None
    """None: nothing is corrected."""
    corrected: Corrected = field(default_factory=Corrected)
    left_out: Counter[str] = field(default_factory=Counter)


def fingerprint_of(rows: Iterable[Row]) -> str:
    """SHA-256, hexadecimal, of which rows there are and what they earned, in the order in which they are read."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row['row_id']} {row['reward']}\n".encode())
    return digest.hexdigest()


def context_of(row: Row) -> Context | None:
    """Where the row's reply was written; None where the dialogue is not there (sealed, erased, no consent)."""
    if not row["dialogue"] or not row["chosen"]:
        return None
    emotion, likelihood = _likeliest(row["user_emotion"])
    situation = Situation(
        row["chosen"], emotion, likelihood, row["intensity"] or 0.0, row["stage"] or "",
        _likeliest(row["system_emotion"])[0], row["locale"] or "",
    )  # fmt: skip
    said = tuple(Said("assistant" if one["role"] == "system" else "user", one["text"] or "") for one in row["dialogue"])
    return Context(row["row_id"], f"{row['tenant']}/{row['conversation_id']}", situation, said)


def contexts(rows: Iterable[Row]) -> Iterator[Context]:
    """Every place where the model was asked for a reply."""
    for row in rows:
        if row["reply_source"] == "generated" and (context := context_of(row)) is not None:
            yield context


def examples(rows: Iterable[Row], how: FromLog) -> Iterator[Example]:
    """Replies that left and were found good, each as often as its weight says."""
    for row in rows:
        context, reward = context_of(row), how.wishes.reward(row)
        if (reason := _unfit(row)) or context is None:
            how.left_out[reason or "no dialogue"] += 1
        elif reward is None or reward < how.least_reward:
            how.left_out["no reward" if reward is None else "reward too low"] += 1
        else:
            chat = how.asking.chat(context)
            for _ in range(copies(_weight(row, chat, how), row["row_id"], how.seed)):
                yield example(chat, row["reply_text"])


def pairs(rows: Rows, how: FromLog) -> Iterator[Pair]:
    """Two attempts at one reply; and of all replies to the same chat the best and the worst, if far enough apart.

    The same chat means the same to the letter, the strategy with it: what is preferred is a reply, not a decision. The
    log is read twice; memory: some 200 bytes a row.
    """
    best_and_worst = _extremes(rows(), how)
    waiting: dict[bytes, tuple[Row, float]] = {}
    for row in rows():
        context = context_of(row)
        if context is None or _unfit(row):
            continue
        chat = how.asking.chat(context)
        for found in pairs_of_attempts(row, how.wishes):
            gap = (found["score_chosen"] or 0.0) - (found["score_rejected"] or 0.0)
            pair = Pair(chat, row["reply_text"], found["rejected"][0]["content"], gap, found["source"])
            yield from [pair] * copies(_weight(row, chat, how), row["row_id"], how.seed)
        key = _key(chat)
        if row["row_id"] not in best_and_worst.get(key, ()):
            continue
        reward = how.wishes.reward(row)
        assert reward is not None
        if key not in waiting:
            waiting[key] = row, reward
            continue
        (better, high), (worse, low) = sorted((waiting.pop(key), (row, reward)), key=lambda one: -one[1])
        if better["reply_text"] != worse["reply_text"]:
            pair = Pair(chat, better["reply_text"], worse["reply_text"], high - low, "same context")
            together = _weight(better, chat, how) * _weight(worse, chat, how)
            yield from [pair] * copies(together, better["row_id"], how.seed)


def _extremes(rows: Iterable[Row], how: FromLog) -> dict[bytes, tuple[str, str]]:
    """By chat, the row ids of the best and the worst reply to it, where they are far enough apart."""
    found: dict[bytes, tuple[float, str, float, str]] = {}
    for row in rows:
        context, reward = context_of(row), how.wishes.reward(row)
        if (reason := _unfit(row)) or context is None or reward is None:
            how.left_out[reason or ("no dialogue" if context is None else "no reward")] += 1
            continue
        key = _key(how.asking.chat(context))
        high, best, low, worst = found.get(key, (reward, row["row_id"], reward, row["row_id"]))
        if reward > high:
            high, best = reward, row["row_id"]
        if reward < low:
            low, worst = reward, row["row_id"]
        found[key] = high, best, low, worst
    return {
        key: (best, worst) for key, (high, best, low, worst) in found.items() if high - low >= how.wishes.min_gap > 0
    }


def _unfit(row: Row) -> str:
    """Why the row's reply is nothing to learn from; empty if it is."""
    if row["reply_source"] != "generated" or not row["reply_text"]:
        return "not written by a model, or sealed"
    if row["crisis_gate_failed"]:
        return "broke the crisis rule"
    sent = [one for one in row["reply_attempts"] or () if one["sent"]]
    return "the guard found a fault" if any(one["faults"] for one in sent) else ""


def _weight(row: Row, chat: list[Message], how: FromLog) -> float:
    ids, told = row["token_ids"], row["token_log_probs"]
    if how.likely is None:
        return 1.0
    if not ids or not told or len(ids) != len(told):
        how.corrected.unknown += 1
        return 1.0
    if (row["prompt_sha256"] or "") != _sha256(chat):
        how.corrected.other_prompt += 1
        return 1.0
    found = weight(how.likely.likelihood_of(chat, ids).log_prob, sum(told))
    how.corrected.note(found)
    return found


def _sha256(chat: list[Message]) -> str:
    """The hash of the prompt as the responder logs it."""
    messages: list[Any] = [ChatMessage(one["role"], one["content"]) for one in chat]  # type: ignore[arg-type]
    return Ask(messages, 0, 0.0, 0, 0.0).sha256().hex()


def _key(chat: list[Message]) -> bytes:
    return bytes.fromhex(_sha256(chat))[:_KEY]


def _likeliest(items: Any) -> tuple[str, float]:
    return max(((one["label"], one["p"]) for one in items or ()), key=lambda one: one[1], default=("", 0.0))
