"""`multimood rl train` for the reply model: from a log or a corpus to a folder with an adapter and a GGUF file."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from multimood.errors import ConfigurationError
from multimood.experience.exports.wishes import Rows, Wishes
from multimood.learning.replies import dialogues, logged, pairs, policy_gradient, preference, sft
from multimood.learning.replies.base import SUFFIX, base_of, open_base, shipped
from multimood.learning.replies.contexts import Asking, Context, Message
from multimood.learning.replies.embedding import local_embed
from multimood.learning.replies.gguf import GGUF
from multimood.learning.replies.judging import Reward
from multimood.learning.replies.pairs import KeptPairs, Pair
from multimood.learning.replies.recipe import Recipe
from multimood.learning.replies.sampling import Likelihood, Sampler
from multimood.learning.replies.student import ADAPTER, merged, opened, save, taught
from multimood.learning.replies.together import first_process_first, is_last_to_leave, processes
from multimood.learning.replies.training import Lesson
from multimood.learning.replies.written import finish
from multimood.training.runs import Run, digest

SERVED: Final = "model.gguf"
TRAIN: Final = "train"
WORDS_FROM: Final = 500
"""References by which the reward's similarity knows what words are rare."""


@dataclass(frozen=True, slots=True)
class Log:
    """An experience log that teaches."""

    rows: Rows
    """Reads it from the beginning, what was said opened."""
    fingerprint: str
    wishes: Wishes = field(default_factory=Wishes)
    """What counts as reward, and how far those of a pair are apart."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a run is asked for. Either a log or a corpus teaches."""

    recipe: Recipe
    out: Path
    root: Path
    """A checkout that `make setup` has seen."""
    log: Log | None = None
    corpus: Path | None = None
    """Folder with corpora of dialogues; their training part is read."""
    base: str | None = None
    """GGUF file, folder or id; None: what `start` was made from, else what the responder serves."""
    start: Path | None = None
    """Run whose adapter is taught further."""
    seed: int = 0


def train(task: Task) -> dict[str, Any]:
    """Train, and leave the run's folder; gives the metrics. Asked for the same again, a broken run goes on.

    Of several processes of accelerate the first writes; the others give no metrics.

    Raises:
        ConfigurationError: nothing to learn from, or two things; a base that cannot be opened.
        RunError: the folder holds a broken run that was asked for something else.
    """
    if (task.log is None) == (task.corpus is None):
        raise ConfigurationError("give an experience log or --dialogues, one of them: that is what is learned from")
    from transformers import set_seed  # noqa: PLC0415 - of the training environment

    base = task.base or (base_of(task.start) if task.start else shipped(task.root))
    order = f"{task.recipe.learner}/{task.seed}"  # another one for each learner: DPO is shown others than SFT was
    read = dialogues.read(task.corpus, TRAIN, order, most=_needed(task.recipe)) if task.corpus else None
    fingerprint = read.sha256 if read else task.log.fingerprint if task.log else ""
    run = Run(task.out, _config(task, base) | {"data": fingerprint})
    set_seed(task.seed)
    model, tokenizer = open_base(base, task.recipe.dtype)
    student = taught(model, task.recipe, task.start)
    lesson = Lesson(student, tokenizer, task.recipe, run, task.seed)
    material = _Material(task, lesson, list(read.contexts) if read else [], base)
    metrics = material.teach() | material.told
    if not is_last_to_leave():
        return {}
    save(student, tokenizer, task.out / ADAPTER, base)
    if base.endswith(SUFFIX):
        GGUF(Path(base)).write(task.out / SERVED, merged(student))
    shutil.rmtree(run.checkpoint, ignore_errors=True)
    return finish(run, task.recipe, metrics, {"fingerprint": fingerprint, "from": _source(task)}, base)


class _Material:
    """What is learned from, read as the learner needs it."""

    def __init__(self, task: Task, lesson: Lesson, contexts: list[Context], base: str) -> None:
        self._task, self._lesson, self._recipe = task, lesson, task.recipe
        self._asking = Asking.load(task.recipe.dialogue_chars)
        self._contexts, self._base = contexts, base
        self._how = None if task.log is None else self._from_log(task.log)

    def teach(self) -> dict[str, Any]:
        """Let the learner run; gives its figures."""
        recipe = self._recipe
        match recipe.learner:
            case "sft":
                return sft.fit(self._lesson, self._examples())
            case "dpo":
                return preference.fit(self._lesson, self._pairs())
            case "grpo":
                groups = recipe.steps * recipe.gather * recipe.batch * processes() // recipe.candidates
                contexts = self._places(groups)
                return policy_gradient.fit(self._lesson, contexts, self._asking, self._reward())

    @property
    def told(self) -> dict[str, Any]:
        """What became of a log's rows."""
        if self._how is None:
            return {}
        return {"correction": self._how.corrected.as_json(), "left_out": dict(self._how.left_out)}

    def _from_log(self, log: Log) -> logged.FromLog:
        return logged.FromLog(
            self._asking, log.wishes, self._recipe.least_reward, self._task.seed, _AsItBegan(self._opened_again)
        )

    def _opened_again(self) -> Sampler:
        """The model as it is when the run begins, apart from the one that is taught."""
        model, tokenizer = open_base(self._base, self._recipe.dtype)
        plain = model if self._task.start is None else opened(model, self._task.start)
        return Sampler(plain.to(self._lesson.model.device), tokenizer, self._asking)

    def _examples(self) -> Callable[[], Iterator[sft.Example]]:
        log, how = self._task.log, self._how
        if log is not None and how is not None:
            if next(logged.examples(log.rows(), replace(how, likely=None)), None) is None:
                raise ConfigurationError(f"the log holds no reply to learn from: {_why(how)}")
            how.left_out.clear()
            return lambda: logged.examples(log.rows(), how)
        return lambda: (sft.example(self._asking.chat(one), one.reference) for one in self._contexts)

    def _pairs(self) -> list[Pair]:
        recipe, log, how = self._recipe, self._task.log, self._how
        most = recipe.steps * recipe.batch * recipe.gather * processes()
        if log is not None and how is not None:
            found = logged.pairs(log.rows, how)
        else:
            found = pairs.best_of_n(
                self._contexts, self._opened_again(), self._reward(), self._asking, each=recipe.candidates,
                temperature=recipe.temperature, min_gap=recipe.min_gap, seed=self._task.seed,
            )  # fmt: skip
        with first_process_first():
            kept = KeptPairs(self._lesson.run.checkpoint / "pairs.jsonl").of(found, most)
        if not kept:
            raise ConfigurationError(f"no pair of replies is far enough apart: lower min_gap. {_why(how)}")
        return kept

    def _places(self, most: int) -> list[Context]:
        log = self._task.log
        found = list(islice(logged.contexts(log.rows()), most)) if log is not None else self._contexts[:most]
        if not found:
            raise ConfigurationError("the log holds no place where a model was asked for a reply: nothing to answer")
        return found

    def _reward(self) -> Reward:
        embed, _ = local_embed(self._task.root)
        return Reward(embed, [context.reference for context in self._contexts[:WORDS_FROM]])


class _AsItBegan:
    """A model that is opened when it is first asked: a log without log-probabilities does not need it."""

    def __init__(self, opens: Callable[[], Sampler]) -> None:
        self._opens = opens
        self._sampler: Sampler | None = None

    def likelihood_of(self, chat: list[Message], ids: list[int]) -> Likelihood:
        """How likely it finds tokens as a reply to a chat."""
        self._sampler = self._sampler or self._opens()
        return self._sampler.likelihood_of(chat, ids)


def _why(how: logged.FromLog | None) -> str:
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(how.left_out.items())) if how else ""
    return f"Left out: {reasons or 'nothing'}"


def _needed(recipe: Recipe) -> int:
    """So many contexts are enough. Not every one gives a pair for DPO; the similarity needs some for what is rare."""
    shown = recipe.steps * recipe.batch * recipe.gather * processes()
    return max(WORDS_FROM, shown if recipe.learner != "dpo" else 4 * shown)


def _config(task: Task, base: str) -> dict[str, Any]:
    start = digest(task.start / ADAPTER / "adapter_model.safetensors") if task.start else ""
    reward = task.log.wishes.told if task.log else ""
    return {
        "kind": "replies", "base": base, "start": start, "seed": task.seed, "reward": reward, **asdict(task.recipe)
    }  # fmt: skip


def _source(task: Task) -> str:
    return "experience log" if task.log is not None else "dialogues: " + ", ".join(dialogues.CORPORA)
