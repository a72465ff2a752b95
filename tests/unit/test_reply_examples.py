"""What a reply model is taught by, without the model: chats, the log's examples and pairs, weights, the gate."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reply_corpus import corpus
from reward_events import ANSWER, PSEUDONYMS, context, decision, reply, trust

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import ConfigurationError
from multimood.experience import Row, row_of
from multimood.experience.exports.wishes import Wishes
from multimood.generation import Ask
from multimood.generation.ask import ChatMessage
from multimood.learning.replies import dialogues, logged
from multimood.learning.replies.contexts import Asking
from multimood.learning.replies.correction import Corrected, copies, weight
from multimood.learning.replies.logged import FromLog
from multimood.learning.replies.measures import Resamples, repetition, sameness
from multimood.learning.replies.recipe import recipe_for
from multimood.learning.replies.sampling import Likelihood
from multimood.learning.replies.verdict import verdict_of
from services.responder.plan import dialogue_of, situation_of

pytestmark = pytest.mark.unit

ASKING = Asking.load()
TOKENS = (11, 12, 13)


def row(name: str, said: str = ANSWER, worth: float = 0.75, **of_reply: Any) -> Row:
    where = context(name, conversation=name)
    decided = decision(where)
    messages = ASKING.prompt.render(situation_of(decided), dialogue_of(decided), ASKING.settings.dialogue_chars)
    made = {
        "text": said, "prompt_sha256": Ask(messages, 96, 0.4, 0, 30.0).sha256(),
        "attempts": [pb.Attempt(index=0, sent=True, completion_tokens=3)],
        "token_ids": TOKENS, "token_log_probs": (-1.0, -1.0, -1.0),
    }  # fmt: skip
    return row_of(
        decided, reply(where, **{**made, **of_reply}), trust(where, reward=worth), None, pseudonyms=PSEUDONYMS
    )


class Model:
    """Finds any three tokens as likely as it is told."""

    def __init__(self, log_prob: float) -> None:
        self.log_prob = log_prob

    def likelihood_of(self, chat: Any, ids: Any) -> Likelihood:
        assert chat[0]["role"] == "system"
        assert list(ids) == list(TOKENS)
        return Likelihood(self.log_prob, len(ids))


def how(**changes: Any) -> FromLog:
    return replace(FromLog(ASKING, Wishes(min_gap=0.1), least_reward=0.6, seed=0), **changes)


# --- chats -----------------------------------------------------------------------------------------------------------


def test_the_chat_of_a_row_is_the_one_that_the_responder_asked_with() -> None:
    one = row("u1")
    found = logged.context_of(one)
    assert found is not None
    messages = [ChatMessage(message["role"], message["content"]) for message in ASKING.chat(found)]  # type: ignore[arg-type]
    assert Ask(messages, 0, 0.0, 0, 0.0).sha256().hex() == one["prompt_sha256"]


def test_a_row_whose_dialogue_is_sealed_is_no_context() -> None:
    assert logged.context_of(row("u1") | {"dialogue": None}) is None


@pytest.mark.parametrize(
    ("text", "cut", "sent"),
    [
        ("I hear you. That is hard. What now? And more.", False, "I hear you. That is hard. What now?"),
        ("I hear you. It is har", True, "I hear you."),
        ("It is so very har", True, "It is so very…"),
        ("I hear you", False, "I hear you"),
    ],
)
def test_a_reply_is_cut_as_the_responder_cuts_it(text: str, cut: bool, sent: str) -> None:
    assert ASKING.sent(text, cut=cut) == sent


# --- a corpus --------------------------------------------------------------------------------------------------------


def test_contexts_of_a_corpus_are_what_was_answered(tmp_path: Path) -> None:
    found = dialogues.read(corpus(tmp_path), "train", 0)
    assert len(found.contexts) == 2 * 8 * 2, "two replies in each of eight dialogues of two corpora"
    for one in found.contexts:
        assert one.reference
        assert one.dialogue[-1].role == "user"
        assert one.situation.strategy == {"esconv": "question", "mesc": "restatement"}[one.corpus]
        assert not one.situation.emotion, "people labelled it, and a running system would not know"
    assert len({one.name for one in found.contexts}) == len(found.contexts)


def test_a_seed_gives_the_order(tmp_path: Path) -> None:
    corpus(tmp_path)
    names = [[one.name for one in dialogues.read(tmp_path, "train", seed, most=9).contexts] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
    assert len(names[0]) == 9


def test_of_every_corpus_as_many(tmp_path: Path) -> None:
    found = dialogues.read(corpus(tmp_path), "train", 0, most=10, even=True)
    assert Counter(one.corpus for one in found.contexts) == {"esconv": 5, "mesc": 5}


@pytest.mark.parametrize(
    ("words", "why"),
    [("I want to kill myself tonight.", "a crisis gets a vetted reply"), ("Hm.", "said by the person, so it stays")],
)
def test_nobody_learns_to_answer_a_crisis(tmp_path: Path, words: str, why: str) -> None:
    found = dialogues.read(corpus(tmp_path / "one", third=words), "train", 0)
    assert len(found.contexts) == (2 * 8 * 1 if "kill" in words else 2 * 8 * 2), why


def test_what_the_guard_would_refuse_is_no_example(tmp_path: Path) -> None:
    found = dialogues.read(corpus(tmp_path, last="You should just kill yourself, nobody needs you."), "train", 0)
    assert len(found.contexts) == 2 * 8 * 1


def test_a_corpus_without_replies(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no reply of split 'train'"):
        dialogues.read(corpus(tmp_path, second="Hm.", last="Hm."), "train", 0)


# --- the log ---------------------------------------------------------------------------------------------------------


def test_examples_are_replies_that_left_and_were_found_good() -> None:
    told = how()
    rows = [
        row("u1"), row("u2", worth=0.5), row("u3", source=pb.REPLY_SOURCE_VETTED_FALLBACK),
        row("u4") | {"dialogue": None}, row("u5") | {"crisis_gate_failed": True}, row("u6") | {"reward": None},
    ]  # fmt: skip
    (found,) = logged.examples(rows, told)
    assert found["completion"] == [{"role": "assistant", "content": ANSWER}]
    assert found["prompt"][0]["role"] == "system"
    assert found["prompt"][-1]["role"] == "user"
    assert told.left_out == Counter(
        {
            "reward too low": 1, "not written by a model, or sealed": 1, "no dialogue": 1, "broke the crisis rule": 1,
            "no reward": 1,
        }
    )  # fmt: skip


def test_a_reply_comes_as_often_as_its_weight_says() -> None:
    twice = how(likely=Model(-3.0 + math.log(2.0)))
    assert len(list(logged.examples([row("u1")], twice))) == 2
    assert twice.corrected.as_json() == {
        "weighted": 1, "unknown": 0, "other_prompt": 0, "truncated": 0, "mean_weight": pytest.approx(2.0),
        "effective_share": pytest.approx(1.0),
    }  # fmt: skip
    never = how(likely=Model(-100.0))
    assert not list(logged.examples([row("u1")], never))


def test_without_log_probabilities_or_with_another_prompt_a_reply_counts_once() -> None:
    told = how(likely=Model(0.0))
    rows = [row("u1", token_log_probs=(), token_ids=()), row("u2", prompt_sha256=b"x" * 32)]
    assert len(list(logged.examples(rows, told))) == 2
    assert (told.corrected.unknown, told.corrected.other_prompt, told.corrected.weighted) == (1, 1, 0)


def test_pairs_are_best_and_worst_of_the_same_chat() -> None:
    rows = [row("u1", "One.", 0.9), row("u2", "Two.", 0.4), row("u3", "Three.", 0.6)]
    (pair,) = logged.pairs(lambda: iter(rows), how())
    assert (pair.chosen, pair.rejected, pair.source) == ("One.", "Two.", "same context")
    assert pair.gap == pytest.approx(0.5)
    assert pair.example()["chosen"] == [{"role": "assistant", "content": "One."}]


@pytest.mark.parametrize(
    "rows",
    [
        [row("u1", "One.", 0.9), row("u2", "Two.", 0.85)],
        [row("u1", "One.", 0.9), row("u2", "One.", 0.1)],
        [row("u1", "One.", 0.9), row("u2", "Two.", 0.1) | {"chosen": "advisement"}],
    ],
    ids=["too near", "the same words", "another strategy"],
)
def test_no_pair(rows: list[Row]) -> None:
    assert not list(logged.pairs(lambda: iter(rows), how()))


def test_what_the_guard_refused_is_the_worse_of_a_pair() -> None:
    attempts = [
        pb.Attempt(index=0, faults=["toxic"], text="You are a fool."),
        pb.Attempt(index=1, sent=True, completion_tokens=3),
    ]
    (pair,) = logged.pairs(lambda: iter([row("u1", attempts=attempts)]), how())
    assert (pair.chosen, pair.rejected, pair.source) == (ANSWER, "You are a fool.", "refused")


# --- weights ---------------------------------------------------------------------------------------------------------


def test_a_weight_is_the_ratio_and_truncated() -> None:
    assert weight(-2.0, -2.0) == pytest.approx(1.0)
    assert weight(-2.0, -3.0) == pytest.approx(math.e)
    assert weight(0.0, -1000.0) == pytest.approx(4.0)
    assert weight(-1000.0, 0.0) == pytest.approx(0.0)


def test_copies_are_the_weight_on_average_and_the_same_again() -> None:
    drawn = [copies(1.3, str(number), 0) for number in range(4_000)]
    assert set(drawn) == {1, 2}
    assert np.mean(drawn) == pytest.approx(1.3, abs=0.03)
    assert drawn == [copies(1.3, str(number), 0) for number in range(4_000)]
    assert copies(1.0, "any", 0) == 1


def test_sampled_by_weights_a_log_looks_as_if_the_other_model_had_written_it() -> None:
    """Two replies, written 80 to 20; the model that is taught writes them 50 to 50."""
    chance = np.random.default_rng(0)
    written = chance.random(20_000) < 0.8
    drawn = [copies(weight(math.log(0.5), math.log(0.8 if one else 0.2)), str(n), 0) for n, one in enumerate(written)]
    first = sum(count for count, one in zip(drawn, written, strict=True) if one)
    assert first / sum(drawn) == pytest.approx(0.5, abs=0.01)


def test_nothing_was_corrected() -> None:
    assert Corrected().as_json()["mean_weight"] == 1.0


# --- recipes ---------------------------------------------------------------------------------------------------------


def test_what_is_given_takes_the_place_of_what_is_usual() -> None:
    assert recipe_for("dpo", steps=7, beta=None).steps == 7
    assert recipe_for("dpo", beta=None).beta == 0.1


@pytest.mark.parametrize(
    ("learner", "given", "why"),
    [
        ("ppo", {}, "TRL 1.16 has no PPO"),
        ("cql", {}, "sft, dpo, grpo"),
        ("sft", {"steps": 0}, "steps is 0"),
        ("grpo", {"batch": 6}, "multiple of candidates"),
        ("dpo", {"candidates": 1}, "at least 2"),
    ],
)
def test_a_recipe_that_cannot_work(learner: str, given: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        recipe_for(learner, **given)


# --- measures and the gate -------------------------------------------------------------------------------------------


def test_repetition_and_sameness() -> None:
    assert repetition("I hear you and I hear you and I hear you") == pytest.approx(5 / 9)
    assert repetition("I hear you.") == 0.0
    assert sameness(["Tell me.", "tell me. ", "Why?"]) == pytest.approx(2 / 3)


def test_the_interval_holds_the_mean_and_is_wider_over_groups() -> None:
    values = np.repeat(np.arange(20.0), 5)
    by_row = Resamples.of([str(number) for number in range(100)]).mean(values)
    by_group = Resamples.of([str(number // 5) for number in range(100)]).mean(values)
    assert by_row["mean"] == by_group["mean"] == pytest.approx(9.5)
    width = {
        name: found["interval"][1] - found["interval"][0] for name, found in (("row", by_row), ("group", by_group))
    }
    assert width["group"] > 1.5 * width["row"]
    assert Resamples.of(["a", "b"]).mean(np.array([np.nan, np.nan]))["mean"] is None


JUDGE = "empathy-epitome: empathy"


def figures(low: float = 0.1, high: float = 0.3, **changes: float) -> dict[str, Any]:
    given = {"severe": 0.0, "refused": 0.05, "distinct_2": 0.6} | changes
    return {name: {"mean": value} for name, value in given.items()} | {
        "differences": {JUDGE: {"mean": (low + high) / 2, "interval": [low, high]}},
        "slices": {JUDGE: {"esconv": {"mean": 0.1, "interval": [-0.1, 0.3]}}},
    }


def test_a_better_model_passes() -> None:
    assert verdict_of(figures(), figures(), [JUDGE]).passed


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (figures(-0.1, 0.3), "finds it better"),
        (figures(-0.3, -0.1), "finds it worse"),
        (figures(severe=0.01), "encourage harm"),
        (figures(refused=0.2), "guard refuses"),
        (figures(distinct_2=0.2), "too much alike"),
        (figures() | {"slices": {JUDGE: {"mesc": {"mean": -0.2, "interval": [-0.3, -0.1]}}}}, "worse on mesc"),
    ],
)
def test_a_worse_model_is_refused_with_the_reason(after: dict[str, Any], why: str) -> None:
    found = verdict_of(figures(), after, [JUDGE])
    assert not found.passed
    assert any(why in reason for reason in found.reasons), found.reasons


def test_without_a_judge_that_did_not_train_nothing_passes() -> None:
    assert not verdict_of(figures(), figures(), []).passed
