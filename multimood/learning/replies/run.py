"""`multimood rl train` for the reply model: from a log or a corpus to a run's folder with an adapter and a GGUF file."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from multimood.errors import ConfigurationError
from multimood.learning.replies import dialogues, sft
from multimood.learning.replies.base import SUFFIX, open_base, shipped
from multimood.learning.replies.contexts import Asking
from multimood.learning.replies.gguf import GGUF
from multimood.learning.replies.recipe import Recipe
from multimood.learning.replies.student import ADAPTER, merged, save, taught
from multimood.training.runs import Run

SERVED: Final = "model.gguf"
TRAIN: Final = "train"


@dataclass(frozen=True, slots=True)
class Task:
    """What a run is asked for."""

    recipe: Recipe
    out: Path
    root: Path
    """A checkout that `make setup` has seen."""
    corpus: Path | None = None
    """Folder with corpora of dialogues; None: the log teaches."""
    base: str | None = None
    """GGUF file, folder or id; None: what `start` was made from, else what the responder serves."""
    start: Path | None = None
    """Run whose adapter is taught further."""
    seed: int = 0


def train(task: Task) -> dict[str, Any]:
    """Train, and leave the run's folder; gives the metrics."""
    from transformers import set_seed  # noqa: PLC0415 - of the training environment

    base = task.base or (_base_of(task.start) if task.start else shipped(task.root))
    read = dialogues.read(task.corpus, TRAIN, task.seed)
    run = Run(task.out, _config(task, base))
    set_seed(task.seed)
    model, tokenizer = open_base(base, task.recipe.dtype)
    asking = Asking.load(task.recipe.dialogue_chars)
    student = taught(model, task.recipe, task.start)

    def examples() -> Iterator[sft.Example]:
        for context in read.contexts:
            yield sft.example(asking.chat(context), context.reference)

    metrics = sft.fit(student, tokenizer, examples, task.recipe, run, task.seed)
    save(student, tokenizer, task.out / ADAPTER, base)
    if base.endswith(SUFFIX):
        GGUF(Path(base)).write(task.out / SERVED, merged(student))
    shutil.rmtree(run.checkpoint, ignore_errors=True)
    run.finish(metrics)
    return metrics


def _config(task: Task, base: str) -> dict[str, Any]:
    return {"kind": "replies", "base": base, "start": str(task.start or ""), "seed": task.seed, **asdict(task.recipe)}


def _base_of(start: Path) -> str:
    return str(json.loads((start / "config.json").read_text(encoding="utf-8"))["base"])
