"""`multimood rl evaluate` for reply models: before and after in one table, graded by judges that did not train."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.errors import ConfigurationError, NotFoundError
from multimood.evaluation.replies import distinct, reply_scores
from multimood.learning.replies import dialogues
from multimood.learning.replies.base import SUFFIX, base_of, learner_of, open_base
from multimood.learning.replies.contexts import Asking, Context
from multimood.learning.replies.embedding import local_embed
from multimood.learning.replies.judging import Reward, graders
from multimood.learning.replies.measures import Resamples, by_slice, repetition, sameness
from multimood.learning.replies.sampling import Sampler
from multimood.learning.replies.student import adapter_of, opened
from multimood.learning.replies.verdict import verdict_of
from multimood.learning.replies.words_empathy import WordsEmpathyJudge
from multimood.learning.replies.written import sha256_of
from multimood.training.runs import digest
from multimood.trust.case import Judge
from multimood.trust.patterns import shipped_rules
from multimood.trust.scores import score_trust

BEFORE: Final = "before"
SPLIT: Final = "val"
WEIGHTS: Final = "adapter_model.safetensors"
Floats = NDArray[np.float64]
Begin = Callable[[str, int], Callable[[], None]]
"""Shows how far the work is, as `multimood.evaluation.result.Progress.begin`."""


@dataclass(frozen=True, slots=True)
class Grading:
    """What is asked for."""

    runs: Sequence[Path]
    """Finished runs of one base, in the order in which the table has them."""
    data: Path
    """Folder with the corpora's validation parts, and EPITOME for the judge by words."""
    root: Path
    most: int = 200
    seed: int = 0
    dialogue_chars: int | None = None
    judges: Sequence[Judge] = ()
    """Language models that grade, too."""
    names: Sequence[str] = dialogues.CORPORA
    split: str = SPLIT
    dtype: str = "bfloat16"
    kept: Path | None = None
    """Folder where the numbers of what was graded are kept, no words: an evaluation that is broken off goes on."""
    begin: Begin = field(default=lambda _what, _total: lambda: None)


def evaluate(asked: Grading) -> dict[str, Any]:
    """Let the base and every run answer the same contexts, and grade the replies; writes each run's gate.json.

    Nothing that was said is in the result. Raises NotFoundError, ConfigurationError.
    """
    bases = {base_of(run) for run in asked.runs}
    if len(bases) != 1:
        raise ConfigurationError(f"the runs have {len(bases)} bases, expected one: evaluate those of a base together")
    contexts = dialogues.read(asked.data, asked.split, asked.seed, asked.names, asked.most, even=True).contexts
    base = bases.pop()
    model, tokenizer = open_base(base, asked.dtype)
    table = _Table(asked, contexts, tokenizer)
    found = {BEFORE: table.row(BEFORE, model, model, base)}
    for run in asked.runs:
        student = opened(open_base(base, asked.dtype)[0], run)
        found[run.name] = table.row(run.name, student, model, sha256_of(adapter_of(run) / WEIGHTS))
        _write_gate(run, base, found[BEFORE], found[run.name], table.held_out)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "contexts": len(contexts),
        "dialogues": len({context.group for context in contexts}),
        "split": asked.split,
        "seed": asked.seed,
        "trained_by": table.trained_by,
        "graded_by": list(table.held_out),
        "words_judge": table.words_judge,
        "models": found,
    }


class _Table:
    """Everything that the rows of the table share."""

    def __init__(self, asked: Grading, contexts: Sequence[Context], tokenizer: Any) -> None:
        embed, _ = local_embed(asked.root)
        self._asked, self._contexts, self._tokenizer = asked, contexts, tokenizer
        self._asking = Asking.load(asked.dialogue_chars)
        self._groups = [context.group for context in contexts]
        self._resamples = Resamples.of(self._groups)
        self._reward = Reward(embed, [context.reference for context in contexts])
        self._judges = list(graders(embed))
        self.words_judge: Any = "EPITOME is not below the data: not asked"
        with suppress(NotFoundError):
            words = WordsEmpathyJudge.fit(asked.data)
            self._judges.append(words)
            self.words_judge = words.macro_f1
        self._judges += asked.judges
        self.held_out = tuple(f"{judge.name}: {one}" for judge in self._judges for one in judge.criteria)
        self.trained_by = ["reward", "trust", "similarity", "safety", "privacy", "reliability"]
        self._before: dict[str, Floats] = {}

    def row(self, name: str, model: Any, plain: Any, weights: str) -> dict[str, Any]:
        """One model's figures: means with intervals, and the paired differences to the first row.

        `plain` is the base, whose likelihood of a reply says whether it is still English; `weights` name the model's.
        """
        graded = self._kept(weights)
        if graded is None:
            graded = self._graded(name, model, plain)
            self._keep(weights, graded)
        measured = {what: np.array(values, np.float64) for what, values in graded["measured"].items()}
        before = self._before = self._before or measured
        differences = {what: measured[what] - before[what] for what in measured if what in before}
        corpora = [context.corpus for context in self._contexts]
        return {
            **{what: self._resamples.mean(values) for what, values in measured.items()},
            **graded["of_all"],
            "differences": {what: self._resamples.mean(values) for what, values in differences.items()},
            "slices": {what: by_slice(differences[what], corpora, self._groups) for what in self.held_out},
        }

    def _graded(self, name: str, model: Any, plain: Any) -> dict[str, Any]:
        """Numbers of every reply, and figures of all of them together."""
        asked, contexts = self._asked, self._contexts
        sampler = Sampler(model, self._tokenizer, self._asking)
        written = sampler.write(
            contexts, each=1, temperature=self._asking.settings.temperature, seed=asked.seed,
            tick=asked.begin(f"{name}: writing", len(contexts)),
        )  # fmt: skip
        replies = [several[0] for several in written]
        measured = self._measured(name, replies, sampler, Sampler(plain, self._tokenizer, self._asking))
        # Of the set as a whole: drawn again with replacement it repeats itself, so bootstrap says nothing of these.
        of_all = {f"distinct_{order}": {"mean": distinct(replies, order)} for order in (1, 2)}
        of_all["same_to_others"] = {"mean": sameness(replies)}
        overlap = reply_scores(replies, [context.reference for context in contexts])
        of_all |= {what: {"mean": overlap[what]} for what in ("bleu_1", "bleu_2", "bleu_4", "rouge_l")}
        return {"measured": {what: values.tolist() for what, values in measured.items()}, "of_all": of_all}

    def _file(self, weights: str) -> Path | None:
        asked = self._asked
        if asked.kept is None:
            return None
        names = "\n".join(context.name for context in self._contexts)
        judges = "\n".join(f"{judge.name} {judge.version}" for judge in self._judges)
        about = f"{asked.split} {asked.seed} {asked.dtype} {self._asking.settings!r} {self._asking.prompt.version}"
        return asked.kept / f"{digest(weights, names, judges, about, self._reward.version)}.json"

    def _kept(self, weights: str) -> dict[str, Any] | None:
        """What was graded before, of the same weights by the same judges in the same contexts."""
        file = self._file(weights)
        return json.loads(file.read_text(encoding="utf-8")) if file is not None and file.is_file() else None

    def _keep(self, weights: str, graded: dict[str, Any]) -> None:
        if (file := self._file(weights)) is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part")
            part.write_text(json.dumps(graded), encoding="utf-8")
            part.replace(file)

    def _measured(self, name: str, replies: Sequence[str], own: Sampler, plain: Sampler) -> dict[str, Floats]:
        tick = self._asked.begin(f"{name}: judging", len(replies))
        rules = shipped_rules()
        rows: list[dict[str, float]] = []
        for context, reply in zip(self._contexts, replies, strict=True):
            chat = self._asking.chat(context)
            scored = self._reward.of(context, [reply])[0]
            reference = own.likelihood(chat, context.reference)
            said = plain.likelihood(chat, reply)
            rows.append(
                {
                    "reward": scored.reward,
                    "similarity": scored.similarity if scored.similarity is not None else np.nan,
                    **{one.criterion: one.score for one in scored.trust.scores if one.score is not None},
                    "refused": float(bool(scored.refused)),
                    "severe": float(any(fault.severe for fault in rules.find(reply))),
                    "words": float(len(reply.split())),
                    "repetition": repetition(reply),
                    "reference_log_prob": reference.log_prob / reference.tokens,
                    "fluency": said.log_prob / said.tokens,
                }
            )
            tick()
        for row, graded in zip(rows, asyncio.run(self._judged(replies)), strict=True):
            row.update(graded)
        names = dict.fromkeys([*(what for row in rows for what in row), *self.held_out])
        return {what: np.array([row.get(what, np.nan) for row in rows], np.float64) for what in names}

    async def _judged(self, replies: Sequence[str]) -> list[dict[str, float]]:
        found = []
        for context, reply in zip(self._contexts, replies, strict=True):
            row: dict[str, float] = {}
            for judge in self._judges:  # apart: each has its own word on a criterion
                scores = await score_trust(context.case(reply), [judge])
                row |= {f"{judge.name}: {one.criterion}": one.score for one in scores.scores if one.score is not None}
            found.append(row)
        return found


def _write_gate(run: Path, base: str, before: dict[str, Any], after: dict[str, Any], held_out: Sequence[str]) -> None:
    """The gate's word, and of which file it is, compared with which: `multimood rl promote` goes by the hashes."""
    verdict = verdict_of(before, after, held_out)
    served, champion = run / "model.gguf", Path(base)
    told = {
        "passed": verdict.passed,
        "kind": "replies",
        "learner": learner_of(run),
        "model_sha256": sha256_of(served) if served.is_file() else None,
        "adapter_sha256": sha256_of(adapter_of(run) / WEIGHTS),
        "champion": BEFORE,
        "champion_sha256": sha256_of(champion) if champion.suffix == SUFFIX else None,
        "reasons": list(verdict.reasons),
        "estimates": [{"measure": name, **after["differences"][name]} for name in held_out],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (run / "gate.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
