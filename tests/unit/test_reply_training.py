"""A tiny reply model through every learner: weights there and back, two steps, and a run that is broken off."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the training environment: `make train-env`")
pytest.importorskip("trl", reason="needs the training environment: `make train-env`")
pytest.importorskip("gguf", reason="needs the training environment: `make train-env`")

import torch
from reward_events import PSEUDONYMS, context, decision, reply, trust
from tiny_llama import tiny_gguf

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import ConfigurationError, NotFoundError
from multimood.experience import Row, row_of
from multimood.experience.exports.wishes import Wishes
from multimood.generation import Ask, Situation
from multimood.generation.dialogue import Said
from multimood.learning.replies import policy_gradient, preference, run, sft
from multimood.learning.replies.base import open_base
from multimood.learning.replies.contexts import Asking, Context
from multimood.learning.replies.gguf import GGUF, paired_apart, paired_together
from multimood.learning.replies.judging import Reward, Scored
from multimood.learning.replies.pairs import KeptPairs, Pair, best_of_n
from multimood.learning.replies.recipe import Recipe, recipe_for
from multimood.learning.replies.sampling import Sampler
from multimood.learning.replies.student import ADAPTER, merged, opened, save, taught
from multimood.learning.replies.training import Lesson
from multimood.training.runs import Run
from multimood.trust.scores import TrustScores
from services.responder.plan import dialogue_of, situation_of

pytestmark = pytest.mark.unit

ASKING = Asking.load(200)
CONTEXTS = [
    Context(f"d/{n}", f"d{n}", Situation("restatement"), (Said("user", f"I lost job {n}."),), f"That is hard, {n}.")
    for n in range(8)
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_gguf(tmp_path_factory.mktemp("base") / "tiny.gguf")


def recipe(learner: str, **changes: Any) -> Recipe:
    small = {"steps": 2, "batch": 2, "rank": 2, "save_every": 1, "dtype": "float32", "tokens": 900, "candidates": 2}
    return recipe_for(learner, **{**small, "reply_tokens": 40, **changes})


def student(base: Path, how: Recipe, start: Path | None = None) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model, tokenizer = open_base(str(base), how.dtype)
    return taught(model, how, start), tokenizer


def examples() -> Iterator[sft.Example]:
    for one in CONTEXTS:
        yield sft.example(ASKING.chat(one), one.reference)


def weights_of(model: Any) -> dict[str, Any]:
    return {
        name: one.detach().clone() for name, one in model.named_parameters() if "lora" in name and ".default" in name
    }


class Vowels(Reward):
    """The share of vowels, in place of judges: to be learned from in two steps."""

    def __init__(self) -> None:
        pass

    def of(self, context: Context, replies: Sequence[str]) -> list[Scored]:
        return [
            Scored(sum(one in "aeiou" for one in reply) / max(1, len(reply)), TrustScores(()), None, "")
            for reply in replies
        ]


# --- weights ---------------------------------------------------------------------------------------------------------


def test_the_order_of_rotary_pairs_there_and_back() -> None:
    rows = np.arange(24.0, dtype=np.float32).reshape(12, 2)
    apart = paired_apart(rows, 2)
    assert apart[:6, 0].tolist() == [0, 4, 8, 2, 6, 10], "first halves of a head, then its second ones"
    assert np.array_equal(paired_together(apart, 2), rows)


def test_weights_are_the_same_after_there_and_back(base: Path, tmp_path: Path) -> None:
    model, _ = open_base(str(base))
    weights = {name: one.detach().numpy() for name, one in model.named_parameters()}
    GGUF(base).write(tmp_path / "again.gguf", weights, "F16")
    again, tokenizer = open_base(str(tmp_path / "again.gguf"))
    for name, one in again.named_parameters():
        assert np.array_equal(one.detach().numpy(), weights[name]), name
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.padding_side) == ("<|im_end|>", "<|im_end|>", "left")
    rough = GGUF(base)
    rough.write(tmp_path / "rough.gguf", weights, "Q8_0")
    near, _ = open_base(str(tmp_path / "rough.gguf"))
    for name, one in near.named_parameters():
        assert np.abs(one.detach().numpy() - weights[name]).max() < 0.02, name


def test_files_that_do_not_fit(base: Path, tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"nothing of the kind")
    with pytest.raises(ConfigurationError, match="no GGUF file"):
        open_base(str(tmp_path / "no.gguf"))
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        open_base(str(tmp_path / "no-folder"))
    with pytest.raises(ConfigurationError, match="there are no such weights"):
        GGUF(base).write(tmp_path / "out.gguf", {})
    with pytest.raises(NotFoundError, match="holds no adapter"):
        opened(None, tmp_path)


def test_a_merged_adapter_says_what_the_model_with_it_says(base: Path, tmp_path: Path) -> None:
    how = recipe("sft", steps=4, rate=0.05)
    model, tokenizer = student(base, how)
    sft.fit(Lesson(model, tokenizer, how, Run(tmp_path / "run", {}), 0), examples)
    save(model, tokenizer, tmp_path / "run" / ADAPTER, "tiny")
    chat = ASKING.chat(CONTEXTS[0])
    taught_says = Sampler(model, tokenizer, ASKING).likelihood(chat, "That is hard.")
    GGUF(base).write(tmp_path / "model.gguf", merged(model), "F16")
    plain, _ = open_base(str(tmp_path / "model.gguf"))
    assert Sampler(plain, tokenizer, ASKING).likelihood(chat, "That is hard.").log_prob == pytest.approx(
        taught_says.log_prob, rel=0.01
    )
    first, _ = open_base(str(base))
    assert Sampler(first, tokenizer, ASKING).likelihood(chat, "That is hard.").log_prob < taught_says.log_prob
    again = opened(open_base(str(base))[0], tmp_path / "run")
    assert Sampler(again, tokenizer, ASKING).likelihood(chat, "That is hard.").log_prob == pytest.approx(
        taught_says.log_prob, abs=1e-3
    )


# --- writing ---------------------------------------------------------------------------------------------------------


def test_the_same_seed_writes_the_same_replies_in_the_contexts_order(base: Path) -> None:
    model, tokenizer = open_base(str(base))
    sampler = Sampler(model, tokenizer, Asking(ASKING.prompt, ASKING.settings.model_copy(update={"max_tokens": 40})), 4)
    one, other = (sampler.write(CONTEXTS, each=2, temperature=0.9, seed=3) for _ in range(2))
    assert one == other
    assert [len(replies) for replies in one] == [2] * len(CONTEXTS)
    assert one != sampler.write(CONTEXTS, each=2, temperature=0.9, seed=4)


def test_likelihood_is_that_of_the_reply_alone(base: Path) -> None:
    model, tokenizer = open_base(str(base))
    sampler, chat = Sampler(model, tokenizer, ASKING), ASKING.chat(CONTEXTS[0])
    found = sampler.likelihood(chat, "Hm.")
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
    ids = [*prompt, *tokenizer("Hm.")["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    by_hand = sum(float(logits[place - 1, ids[place]]) for place in range(len(prompt), len(ids)))
    assert (found.log_prob, found.tokens) == (pytest.approx(by_hand, abs=1e-3), 4)


# --- learners --------------------------------------------------------------------------------------------------------


def test_sft_lowers_the_loss_of_what_it_is_shown(base: Path, tmp_path: Path) -> None:
    how = recipe("sft", steps=12, batch=4, rate=0.02)
    model, tokenizer = student(base, how)
    figures = sft.fit(Lesson(model, tokenizer, how, Run(tmp_path, {}), 0), examples)
    assert figures["steps"] == 12
    assert figures["loss"]["last"] < figures["loss"]["first"]
    assert json.loads((tmp_path / "progress.jsonl").read_text().splitlines()[0])["step"] == 5


def test_dpo_prefers_what_was_chosen(base: Path, tmp_path: Path) -> None:
    how = recipe("dpo", steps=6, rate=0.02)
    model, tokenizer = student(base, how)
    pairs = [Pair(ASKING.chat(one), "That is hard.", "xxqq zzk", 0.5, "best-of-n") for one in CONTEXTS]
    sampler, chat = Sampler(model, tokenizer, ASKING), ASKING.chat(CONTEXTS[0])

    def margin() -> float:
        return sampler.likelihood(chat, "That is hard.").log_prob - sampler.likelihood(chat, "xxqq zzk").log_prob

    before = margin()
    preference.fit(Lesson(model, tokenizer, how, Run(tmp_path, {}), 0), pairs)
    assert margin() > before


def test_dpo_goes_on_from_an_adapter_and_measures_from_there(base: Path, tmp_path: Path) -> None:
    how = recipe("sft", steps=4, rate=0.05)
    model, tokenizer = student(base, how)
    sft.fit(Lesson(model, tokenizer, how, Run(tmp_path / "sft", {}), 0), examples)
    save(model, tokenizer, tmp_path / "sft" / ADAPTER, "tiny")
    how = recipe("dpo", steps=5, rate=1e-9)
    model, tokenizer = student(base, how, tmp_path / "sft")
    pairs = [Pair(ASKING.chat(one), "That is hard.", "xxqq zzk", 0.5, "best-of-n") for one in CONTEXTS]
    figures = preference.fit(Lesson(model, tokenizer, how, Run(tmp_path / "dpo", {}), 0), pairs)
    assert figures["loss"]["first"] == pytest.approx(np.log(2), abs=1e-3), (
        "nothing was learned yet: the reference is SFT's"
    )


def test_grpo_raises_its_own_reward(base: Path, tmp_path: Path) -> None:
    how = recipe("grpo", steps=2, batch=4, candidates=4)
    model, tokenizer = student(base, how)
    before = weights_of(model)
    figures = policy_gradient.fit(Lesson(model, tokenizer, how, Run(tmp_path, {}), 0), CONTEXTS, ASKING, Vowels())
    assert figures["steps"] == 2
    assert any(not torch.equal(before[name], one) for name, one in weights_of(model).items())


def test_best_and_worst_of_n_by_the_reward(base: Path) -> None:
    model, tokenizer = open_base(str(base))
    few = Asking(ASKING.prompt, ASKING.settings.model_copy(update={"max_tokens": 40}))
    pairs = list(
        best_of_n(
            CONTEXTS, Sampler(model, tokenizer, few), Vowels(), few, each=4, temperature=1.5, min_gap=0.01, seed=0
        )
    )
    assert pairs
    for pair in pairs:
        best, worst = (one.reward for one in Vowels().of(CONTEXTS[0], [pair.chosen, pair.rejected]))
        assert best - worst == pytest.approx(pair.gap)
        assert pair.gap >= 0.01


def test_kept_pairs_are_written_once(tmp_path: Path) -> None:
    pairs = [Pair([], str(number), "", 0.1, "best-of-n") for number in range(5)]
    assert KeptPairs(tmp_path / "pairs.jsonl").of(iter(pairs), 3) == pairs[:3]

    def never() -> Iterator[Pair]:
        raise AssertionError
        yield

    assert KeptPairs(tmp_path / "pairs.jsonl").of(never(), 3) == pairs[:3]


def logged(name: str, said: str, worth: float) -> Row:
    """A row of the log whose reply three tokens are told of, found about as likely as a tiny model finds any."""
    where = context(name, conversation=name)
    decided = decision(where)
    messages = ASKING.prompt.render(situation_of(decided), dialogue_of(decided), ASKING.settings.dialogue_chars)
    made = reply(
        where, text=said, prompt_sha256=Ask(messages, 96, 0.4, 0, 30.0).sha256(), token_ids=(11, 12, 13),
        token_log_probs=(-4.3, -4.3, -4.3), attempts=[pb.Attempt(index=0, sent=True, completion_tokens=3)],
    )  # fmt: skip
    return row_of(decided, made, trust(where, reward=worth), None, pseudonyms=PSEUDONYMS)


@pytest.mark.parametrize("learner", ["sft", "dpo", "grpo"])
def test_a_log_teaches(base: Path, tmp_path: Path, learner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [logged(f"u{n}", ("That sounds hard.", "Hm, well.")[n % 2], (0.9, 0.3)[n % 2]) for n in range(6)]
    monkeypatch.setattr(run._Material, "_reward", lambda _self: Vowels())
    log = run.Log(lambda: iter(rows), "abc", Wishes(min_gap=0.1))
    task = run.Task(recipe(learner), tmp_path / "run", tmp_path, log, base=str(base))
    metrics = run.train(task)
    told = metrics["correction"]
    assert metrics["steps"] == 2
    assert (told["weighted"] > 0) is (learner != "grpo"), "what is written anew needs no correction"
    assert told["unknown"] == told["other_prompt"] == 0
    assert json.loads((tmp_path / "run/data.json").read_text()) == {"fingerprint": "abc", "from": "experience log"}
    assert set(metrics["files"]) == {"model.gguf", "adapter/adapter_model.safetensors"}
    assert run.base_of(tmp_path / "run") == str(base)
    further = run.Task(recipe(learner), tmp_path / "further", tmp_path, log, start=tmp_path / "run")
    assert run.train(further)["files"] != metrics["files"]


def test_a_log_that_teaches_nothing(base: Path, tmp_path: Path) -> None:
    for learner, why in (("sft", "reward too low"), ("dpo", "no pair of replies"), ("grpo", "nothing to answer")):
        rows = [] if learner == "grpo" else [logged("u1", "Hm.", 0.1)]
        log = run.Log(lambda rows=rows: iter(rows), "abc")  # type: ignore[misc]
        with pytest.raises(ConfigurationError, match=why):
            run.train(run.Task(recipe(learner), tmp_path / learner, tmp_path, log, base=str(base)))
    with pytest.raises(ConfigurationError, match="one of them"):
        run.train(run.Task(recipe("sft"), tmp_path / "none", tmp_path, base=str(base)))


@pytest.mark.parametrize("learner", ["sft", "dpo", "grpo"])
def test_a_run_that_was_broken_off_ends_as_if_it_had_not_been(base: Path, tmp_path: Path, learner: str) -> None:
    how = recipe(learner, steps=4, rate=0.01)

    def fit(folder: Path, steps_until: int) -> dict[str, Any]:
        model, tokenizer = student(base, how)
        run = Run(folder, {})
        with pytest.MonkeyPatch.context() as patch:
            if steps_until < how.steps:
                breaks(patch, steps_until)
            try:
                learn(Lesson(model, tokenizer, how, run, 0))
            except KeyboardInterrupt:
                assert steps_until < how.steps
        return weights_of(model)

    def learn(lesson: Lesson) -> None:
        if learner == "sft":
            sft.fit(lesson, examples)
        elif learner == "dpo":
            pairs = [Pair(ASKING.chat(one), f"That is hard, {one.name}.", "xxqq", 0.5, "best-of-n") for one in CONTEXTS]
            preference.fit(lesson, pairs)
        else:
            policy_gradient.fit(lesson, CONTEXTS, ASKING, Vowels())

    whole = fit(tmp_path / "whole", how.steps)
    fit(tmp_path / "broken", 2)
    resumed = fit(tmp_path / "broken", how.steps)
    for name, one in whole.items():
        assert torch.allclose(one, resumed[name], atol=1e-6), name


def breaks(patch: pytest.MonkeyPatch, after: int) -> None:
    """Somebody presses Ctrl-C behind a step that was saved."""
    from multimood.learning.replies import training

    noting = training._noting

    def and_breaks(run: Run) -> Any:
        callback = noting(run)

        def on_save(_args: Any, state: Any, _control: Any, **_: Any) -> None:
            if state.global_step == after:
                raise KeyboardInterrupt

        callback.on_save = on_save
        return callback

    patch.setattr(training, "_noting", and_breaks)
