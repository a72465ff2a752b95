"""The learning itself: batches, loss, when to stop, what is kept."""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from sklearn.metrics import f1_score
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from multimood.graphs.text_encoder import WIDTH
from multimood.training.runs import Run
from multimood.training.text.network import Encoder, padded, stacked
from multimood.training.text.utterances import OUTPUTS, Utterance

STATES_AT_ONCE: Final = 64
LOOKED_AT: Final = 256
_SHUT: Final = -1e4
_NEIGHBOURS: Final = 50
"""Batches that are sorted by length together: less padding, and still another order each time."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How it is taught. `apart`: the share of the training dialogues that says when to stop."""

    epochs: float = 2.0
    batch: int = 32
    rate: float = 5e-4
    head_rate: float = 1e-3
    decay: float = 0.01
    warm_up: int = 100
    dropout: float = 0.1
    tokens: int = 64
    apart: float = 0.05
    looks: int = 6
    """Looks at what is held apart, evenly over the run."""
    patience: int = 2
    """Looks without a better one before it stops."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Places of the rows that teach, of those that say when to stop, and of the validation part."""

    taught: list[int]
    apart: list[int]
    held: list[int]


def split(rows: Sequence[Utterance], share: float, seed: int) -> Parts:
    """Whole dialogues are held apart from what teaches; the validation part has no say."""
    groups = sorted({row.group for row in rows if not row.held})
    chosen = set(random.Random(seed).sample(groups, round(len(groups) * share)))  # noqa: S311 - no secret
    taught = [place for place, row in enumerate(rows) if not row.held and row.group not in chosen]
    apart = [place for place, row in enumerate(rows) if not row.held and row.group in chosen]
    return Parts(taught, apart, [place for place, row in enumerate(rows) if row.held])


class States:
    """What the fixed layers make of every text, in one block: bfloat16 [tokens of all texts, d]."""

    def __init__(self, encoder: Encoder, tokenizer: Tokenizer, rows: Sequence[Utterance], tokens: int) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(tokens)
        ids = [tokenizer.encode(row.text).ids for row in rows]
        self.lengths = [len(one) for one in ids]
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)]).tolist()
        self._block = torch.empty(self._starts[-1], WIDTH, dtype=torch.bfloat16)
        order = sorted(range(len(rows)), key=lambda place: self.lengths[place])
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            for start in track(range(0, len(order), STATES_AT_ONCE), "fixed layers"):
                places = order[start : start + STATES_AT_ONCE]
                found = encoder.lower(*padded([ids[place] for place in places]))
                for number, place in enumerate(places):
                    self._block[self._starts[place] : self._starts[place + 1]] = found[number, : self.lengths[place]]

    def __getitem__(self, place: int) -> Tensor:
        return self._block[self._starts[place] : self._starts[place + 1]]


class Teacher:
    """Teaches an encoder; goes on from the run's checkpoint when there is one."""

    def __init__(self, encoder: Encoder, rows: Sequence[Utterance], states: States, recipe: Recipe) -> None:
        self._encoder, self._rows, self._states, self._recipe = encoder, rows, states, recipe
        self._heads = nn.Linear(WIDTH, len(OUTPUTS))
        self._drop = nn.Dropout(recipe.dropout)
        self._shut = torch.full((len(rows), len(OUTPUTS)), _SHUT)
        for place, row in enumerate(rows):
            self._shut[place, list(row.allowed)] = 0
        self._labels = torch.tensor([row.label for row in rows])
        self._weights = torch.ones(len(rows))

    def teach(self, run: Run, parts: Parts, seed: int) -> None:
        """Learn until the looks at what is apart get no better; the best state is kept in the encoder."""
        recipe = self._recipe
        self._weigh(parts.taught)
        changed = [value for value in self._encoder.parameters() if value.requires_grad]
        optimizer = torch.optim.AdamW(
            [{"params": changed, "base": recipe.rate}, {"params": self._heads.parameters(), "base": recipe.head_rate}],
            lr=recipe.rate, weight_decay=recipe.decay,
        )  # fmt: skip
        steps = math.ceil(recipe.epochs * len(parts.taught) / recipe.batch)
        every = math.ceil(steps / recipe.looks)
        step, best, since, kept = self._resume(run, optimizer)
        batches = [
            batch for epoch in range(math.ceil(recipe.epochs)) for batch in self._batches(parts.taught, seed, epoch)
        ]
        left = batches[step:steps]
        for batch in track(left, "learning"):
            torch.manual_seed(seed * 1_000_003 + step)  # so that a run that goes on is the run that was not broken off
            shrink = min(1.0, step / recipe.warm_up) * (1 - step / steps)
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * shrink
            logits = self._heads(self._drop(self._vectors(batch))) + self._shut[batch]
            loss = (
                functional.cross_entropy(logits, self._labels[batch], reduction="none") * self._weights[batch]
            ).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(changed, 1.0)
            optimizer.step()
            step += 1
            if step % every and step != steps:
                continue
            scores = self.scores(parts.apart)
            mean = float(np.mean([score["weighted_f1"] for score in scores.values()]))
            run.note(step=step, of=steps, loss=round(loss.item(), 4), apart=scores, mean=mean)
            if mean > best:
                best, since, kept = mean, 0, self._state()
            else:
                since += 1
            held = {"step": step, "best": best, "since": since, "kept": kept, "now": self._state()}
            run.save(lambda path, held=held: torch.save(held | {"optimizer": optimizer.state_dict()}, path))  # type: ignore[misc]
            if since >= recipe.patience:
                break
        self._load(kept)

    def vectors(self, places: Sequence[int]) -> NDArray[np.float32]:
        """The vectors [n, d] of rows, without dropout."""
        order = sorted(places, key=lambda place: self._states.lengths[place])
        found = np.empty((len(self._rows), WIDTH), np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), LOOKED_AT):
                batch = order[start : start + LOOKED_AT]
                found[batch] = self._vectors(batch).numpy()
        chosen: NDArray[np.float32] = found[list(places)]
        return chosen

    def scores(self, places: Sequence[int]) -> dict[str, dict[str, float]]:
        """Accuracy and F1 by task and corpus, beside those of the most frequent label."""
        if not places:
            return {}
        with torch.inference_mode():
            logits = self._heads(torch.from_numpy(self.vectors(places))) + self._shut[list(places)]
        predicted = logits.argmax(1).tolist()
        found = {}
        for key in sorted({(self._rows[place].task, self._rows[place].corpus) for place in places}):
            pairs = [
                (self._rows[place].label, answer)
                for place, answer in zip(places, predicted, strict=True)
                if (self._rows[place].task, self._rows[place].corpus) == key
            ]
            truth, answers = zip(*pairs, strict=True)
            found[" ".join(key)] = {
                "n": len(truth),
                "accuracy": float(np.mean(np.array(truth) == np.array(answers))),
                "weighted_f1": float(f1_score(truth, answers, average="weighted", zero_division=0)),
                "macro_f1": float(f1_score(truth, answers, average="macro", zero_division=0)),
                "majority_accuracy": Counter(truth).most_common(1)[0][1] / len(truth),
            }
        return found

    def _weigh(self, taught: Sequence[int]) -> None:
        """A corpus counts as the square root of its size."""
        keys = [(self._rows[place].task, self._rows[place].corpus) for place in taught]
        counts = Counter(keys)
        mean = float(np.mean(list(counts.values())))
        for place, key in zip(taught, keys, strict=True):
            self._weights[place] = math.sqrt(mean / counts[key])

    def _vectors(self, batch: Sequence[int]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self._encoder.upper(*stacked([self._states[place] for place in batch]))

    def _batches(self, taught: Sequence[int], seed: int, epoch: int) -> list[list[int]]:
        chance = random.Random(seed * 1_000 + epoch)  # noqa: S311 - no secret
        order, size = list(taught), self._recipe.batch
        chance.shuffle(order)
        found = []
        for start in range(0, len(order), size * _NEIGHBOURS):
            near = sorted(order[start : start + size * _NEIGHBOURS], key=lambda place: self._states.lengths[place])
            cut = [near[begin : begin + size] for begin in range(0, len(near), size)]
            chance.shuffle(cut)
            found += cut
        return found

    def _state(self) -> dict[str, Any]:
        learned = {name: value for name, value in self._encoder.named_parameters() if value.requires_grad}
        return {
            "encoder": {name: value.detach().clone() for name, value in learned.items()},
            "heads": {name: value.detach().clone() for name, value in self._heads.state_dict().items()},
        }

    def _load(self, state: dict[str, Any]) -> None:
        self._encoder.load_state_dict(state["encoder"], strict=False)
        self._heads.load_state_dict(state["heads"])

    def _resume(self, run: Run, optimizer: Any) -> tuple[int, float, int, dict[str, Any]]:
        if not run.checkpoint.exists():
            return 0, 0.0, 0, self._state()
        held = torch.load(run.checkpoint, weights_only=True)
        self._load(held["now"])
        optimizer.load_state_dict(held["optimizer"])
        return held["step"], held["best"], held["since"], held["kept"]


def config_of(recipe: Recipe, **more: Any) -> dict[str, Any]:
    """What a run is asked for, to be written down."""
    return {**asdict(recipe), **more}


def principal(vectors: NDArray[np.float32], width: int) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Mean [d], the `width` directions of largest variance [d, width], and the share of variance they hold."""
    mean = vectors.mean(axis=0)
    values, directions = np.linalg.eigh(np.cov(vectors - mean, rowvar=False))
    order = np.argsort(values)[::-1][:width]
    return mean.astype(np.float32), directions[:, order].astype(np.float32), float(values[order].sum() / values.sum())


def saved(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as a .npz file, whole or not at all."""
    partial = path.with_suffix(".part.npz")
    np.savez_compressed(partial, **arrays)
    partial.replace(path)
