"""The whole training of the text encoder: utterances, fixed layers, learning, projection, adapter, card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from tokenizers import Tokenizer

from multimood.errors import NotFoundError
from multimood.graphs.text_encoder import EMBEDDING, LAYERS, TOKENS
from multimood.graphs.weights import read_safetensors
from multimood.training.card import write_card
from multimood.training.encoders import Report
from multimood.training.runs import Run, digest
from multimood.training.text.learn import Recipe, States, Teacher, config_of, principal, saved, split
from multimood.training.text.network import FROZEN, RANK, Encoder
from multimood.training.text.utterances import read_utterances

WEIGHTS: Final = Path(".tools/text_encoder/model.safetensors")
TOKENIZER: Final = Path(".tools/text_encoder/tokenizer.json")
ADAPTER: Final = "text_adapter.npz"
CARD: Final = "text_adapter.md"
_ABOUT: Final = """
Low-rank changes (LoRA, rank {rank}) of layers {first} to {last} of all-mpnet-base-v2 (Apache-2.0), of which the first
{last} of twelve layers are used, and the projection of their mean to {width} values. `multimood.graphs` makes the text
encoder's graph of the two.

- **Taught on** the training parts of MELD, GoEmotions (12,000 posts), DailyDialog and MESC's clients (emotion of an
  utterance), MESC's therapists and ESConv's supporters (what they did, told from their own words).
- **Licence**: Apache-2.0. ESConv and DailyDialog are for non-commercial use (CC BY-NC 4.0, CC BY-NC-SA 4.0), and MELD's
  text is from a television series: whether weights that learned from them may be sold is for a lawyer to say.
- **Made by** `multimood train text --data FOLDER --seed {seed}`, stopped by a twentieth of the training dialogues.
- **Limits**: English; single utterances (what was said before is the fusion model's part); of acted and of written
  talk. Lines of a comedy are half of what it knows of surprise and joy.
- **Figures**: heads that were taught with it, of the single utterance; the served system's are in docs/results.md.
"""


def train(
    data: Path, out: Path, folder: Path, seed: int = 0, *, root: Path = Path(), report: Report = lambda _line: None
) -> Mapping[str, Any]:
    """Teach the encoder; write `text_adapter.npz` and `text_adapter.md` below `out`, the run below `folder`.

    The same seed and data give the same adapter on the same machine. A run that was broken off goes on.

    Raises:
        NotFoundError: a data set, the pretrained weights or the tokenizer is not there.
        RunError: `folder` holds a run that was asked for other things and has not ended.
    """
    weights, tokenizer = (root / path for path in (WEIGHTS, TOKENIZER))
    for path in (weights, tokenizer):
        if not path.is_file():
            raise NotFoundError(f"{path} is not there: run `make setup`")
    torch.manual_seed(seed)
    recipe = Recipe()
    rows = read_utterances(data, seed)
    parts = split(rows, recipe.apart, seed)
    run = Run(folder, config_of(recipe, seed=seed, rank=RANK, frozen=FROZEN, layers=LAYERS, width=EMBEDDING,
                                rows=len(rows), texts=digest(*(row.text for row in rows))))  # fmt: skip
    report(
        f"{len(parts.taught):,} utterances teach, {len(parts.apart):,} say when to stop, {len(parts.held):,} are held"
    )
    encoder = Encoder(read_safetensors(weights), TOKENS)
    states = States(encoder, Tokenizer.from_file(str(tokenizer)), rows, recipe.tokens)
    teacher = Teacher(encoder, rows, states, recipe)
    teacher.teach(run, parts, seed)
    mean, directions, share = principal(teacher.vectors(parts.taught), EMBEDDING)
    report(f"{EMBEDDING} of {len(mean)} directions hold {share:.4f} of the variance")
    arrays = encoder.changes() | {"mean": mean, "projection": directions.astype(np.float16)}
    saved(out / ADAPTER, arrays)
    metrics = {
        "variance held by the projection": share,
        "seconds": round(run.seconds),
        **{f"validation, {name}": score for name, score in teacher.scores(parts.held).items()},
    }
    write_card(
        out / CARD,
        "Text adapter",
        _ABOUT.format(rank=RANK, first=FROZEN + 1, last=LAYERS, width=EMBEDDING, seed=seed),
        {name: value for name, value in metrics.items() if name != "seconds"},
    )
    run.finish(metrics)
    return metrics
