"""Teaching the dialogue network: what it is shown and not shown, its loss, when to stop."""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.nn import functional

from multimood.history import DONE, FELT, MARKS, MOST_STEPS, TURNS, WIDTH
from multimood.training.fusion.context import Context
from multimood.training.fusion.samples import Moments
from multimood.training.fusion.shape import HEADS, Shape
from multimood.training.runs import Run

Floats = NDArray[np.float32]

SHUT: Final = -1e4
LOOKED_AT: Final = 512
FEWEST: Final = 20
"""Rows of which a score says something."""
CHOSEN_BY: Final = ("emotion", "strategy_mesc", "strategy_esconv")
_NEIGHBOURS: Final = 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """How it is taught. The shares say how often something is not shown, so that it learns to do without."""

    epochs: int = 6
    batch: int = 96
    rate: float = 7e-4
    decay: float = 0.02
    dropout: float = 0.4
    warm_up: int = 200
    forgotten: float = 0.3
    """Of the moments: the dialogue begins later than it did."""
    unfelt: float = 0.5
    undone: float = 0.5
    wordless: float = 0.1
    """Of the moments with an utterance: its words are missing."""
    apart: float = 0.05
    patience: int = 2
    intensity: float = 3.0
    """Weight of the intensity's squared error."""


@dataclass(frozen=True, slots=True)
class Told:
    """What moments are told, in tensors: `text` [n, w], `here` [n], `past` [n, t, w], `marks` [n, t, m], `step` [n]."""

    text: Tensor
    here: Tensor
    past: Tensor
    marks: Tensor
    step: Tensor


class Lesson:
    """Moments with the vectors of their texts [m, w] and how those texts feel [m, 8]."""

    def __init__(self, moments: Moments, vectors: Floats, felt: Floats) -> None:
        self.moments = moments
        self._vectors, self._felt = torch.from_numpy(vectors), torch.from_numpy(felt)
        self.length = (moments.role > 0).sum(1)
        self._shut = torch.where(torch.from_numpy(moments.allowed), 0.0, SHUT)
        self.labels = {
            name: torch.from_numpy(getattr(moments, name)) for name in HEADS if name != "intensity"
        }  # fmt: skip
        self.rated = torch.from_numpy(moments.intensity)
        keys = [f"{corpus.rstrip('+')}" for corpus in moments.protocol]
        counts = Counter(key for key, held in zip(keys, moments.held, strict=True) if not held)
        mean = float(np.mean(list(counts.values())))
        self.weights = torch.tensor([math.sqrt(mean / counts[key]) for key in keys])

    def told(self, rows: Sequence[int], recipe: Recipe | None, chance: np.random.Generator) -> Told:
        """What the moments `rows` are told; with a recipe some of it is left out."""
        chosen = np.asarray(rows)
        moments, n = self.moments, len(chosen)
        role = moments.role[chosen].copy()
        hidden = np.zeros(n, bool)
        if recipe is not None:
            late = chance.random(n) < recipe.forgotten
            kept = (chance.random(n) * (self.length[chosen] + 1)).astype(np.int64)
            role[late[:, None] & (np.arange(TURNS)[None] < TURNS - kept[:, None])] = 0
            hidden = chance.random(n) < recipe.wordless
        longest = max(1, int((role > 0).sum(1).max()))
        role, past = role[:, -longest:], moments.past[chosen][:, -longest:]
        done = moments.done[chosen][:, -longest:]
        there = torch.from_numpy(role > 0)
        marks = torch.zeros(n, longest, MARKS)
        marks[..., 0], marks[..., 1] = torch.from_numpy(role == 1).float(), torch.from_numpy(role == 2).float()  # noqa: PLR2004
        places = torch.from_numpy(np.maximum(past, 0))
        known = there & torch.from_numpy(role == 1)
        shown = done >= 0
        if recipe is not None:
            known &= torch.from_numpy(chance.random(n) >= recipe.unfelt)[:, None]
            shown &= (chance.random(n) >= recipe.undone)[:, None]
        marks[..., FELT] = self._felt[places] * known[..., None]
        one_hot = functional.one_hot(torch.from_numpy(np.maximum(done, 0)), DONE.stop - DONE.start).float()
        marks[..., DONE] = one_hot * (torch.from_numpy(shown) & there)[..., None]
        current = moments.current[chosen]
        here = torch.from_numpy(((current >= 0) & ~hidden).astype(np.float32))
        return Told(
            self._vectors[torch.from_numpy(np.maximum(current, 0))],
            here,
            self._vectors[places] * there[..., None],
            marks,
            torch.from_numpy(np.minimum(moments.step[chosen], MOST_STEPS).astype(np.float32) / MOST_STEPS),
        )

    def loss(self, rows: Sequence[int], said: Mapping[str, Tensor], recipe: Recipe) -> Tensor:
        """Cross-entropies and the intensity's squared error, of all members."""
        chosen = torch.as_tensor(rows)
        total = torch.zeros(())
        weights = self.weights[chosen]
        for name, labels in self.labels.items():
            known = torch.nonzero(labels[chosen] >= 0)[:, 0]
            if not len(known):
                continue
            logits = said[name][:, known]
            if name == "emotion":
                logits = logits + self._shut[chosen[known]]
            e, k, size = logits.shape
            truth = labels[chosen[known]]
            each = functional.cross_entropy(logits.reshape(e * k, size), truth.repeat(e), reduction="none").view(e, k)
            total = total + (each * weights[known]).sum() / (e * len(rows))
        known = torch.nonzero(~self.rated[chosen].isnan())[:, 0]
        if len(known):
            wrong = said["intensity"][:, known, 0].sigmoid() - self.rated[chosen[known]]
            total = total + recipe.intensity * wrong.square().sum() / (said["intensity"].shape[0] * len(rows))
        return total

    def shut(self, rows: Sequence[int]) -> Tensor:
        """[n, 8]: very negative where the corpus does not know an emotion."""
        return self._shut[torch.as_tensor(rows)]


def say(network: Context, lesson: Lesson, rows: Sequence[int], *, wordless: bool = False) -> dict[str, Floats]:
    """The members' mean logits [n, size] by head, and their mean `answer` [n, d]; all is shown, or all but words."""
    network.eval()
    chance = np.random.default_rng(0)
    order = sorted(range(len(rows)), key=lambda place: lesson.length[rows[place]])
    sizes = {name: size for name, (_, size) in HEADS.items()} | {"answer": network.shape.width}
    found = {name: np.zeros((len(rows), size), np.float32) for name, size in sizes.items()}
    with torch.inference_mode():
        for start in range(0, len(order), LOOKED_AT):
            places = order[start : start + LOOKED_AT]
            told = lesson.told([rows[place] for place in places], None, chance)
            here = torch.zeros_like(told.here) if wordless else told.here
            said = network(told.text, here, told.past, told.marks, told.step)
            for name, logits in said.items():
                found[name][places] = logits.mean(0).numpy()
    network.train()
    return found


def say_alone(network: Context, words: Floats | None, count: int) -> dict[str, Floats]:
    """The same of `count` utterances before which there was nothing; `words` [count, w], or None: not a word."""
    network.eval()
    text = torch.zeros(count, WIDTH) if words is None else torch.from_numpy(words)
    here = torch.full((count,), float(words is not None))
    nothing = torch.zeros(count, 1, WIDTH), torch.zeros(count, 1, MARKS), torch.zeros(count)
    with torch.inference_mode():
        said = network(text, here, *nothing)
    return {name: logits.mean(0).numpy() for name, logits in said.items()}


def scores(lesson: Lesson, rows: Sequence[int], said: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
    """Accuracy and F1 by head and protocol (moments where a supporter goes on are `...,on`), beside the majority's."""
    found: dict[str, dict[str, float]] = {}
    chosen = np.asarray(rows)
    moments = lesson.moments
    kind = np.array(
        [
            f"{name}{', on' if on else ''}"
            for name, on in zip(moments.protocol[chosen], moments.follows[chosen], strict=True)
        ]
    )
    for name in HEADS:
        if name == "intensity":
            continue
        labels = getattr(moments, name)[chosen]
        logits = said[name] + (lesson.shut(rows).numpy() if name == "emotion" else 0)
        for protocol in sorted(set(kind[labels >= 0])):
            here = (kind == protocol) & (labels >= 0)
            if here.sum() < FEWEST:
                continue
            truth, answer = labels[here], logits[here].argmax(1)
            usual = int(np.bincount(truth).argmax())
            found[f"{name} {protocol}"] = {
                "n": int(here.sum()),
                "accuracy": float((truth == answer).mean()),
                "weighted_f1": float(f1_score(truth, answer, average="weighted", zero_division=0)),
                "macro_f1": float(f1_score(truth, answer, average="macro", zero_division=0)),
                "majority": float((truth == usual).mean()),
                "majority_weighted_f1": float(
                    f1_score(truth, np.full_like(truth, usual), average="weighted", zero_division=0)
                ),
            }
    rated = ~np.isnan(moments.intensity[chosen])
    if rated.any():
        truth = moments.intensity[chosen][rated]
        value = 1 / (1 + np.exp(-said["intensity"][rated, 0]))
        found["intensity esconv"] = {
            "n": int(rated.sum()),
            "error": float(np.abs(value - truth).mean()),
            "error_of_mean": float(np.abs(truth.mean() - truth).mean()),
        }
    return found


def merit(found: Mapping[str, Mapping[str, float]]) -> float:
    """One number to stop by: the mean of accuracy and weighted F1 over emotions and strategies."""
    return float(
        np.mean(
            [
                (score["accuracy"] + score["weighted_f1"]) / 2
                for name, score in found.items()
                if name.startswith(CHOSEN_BY) and not name.endswith("on")
            ]
        )
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """Moments that teach, and those that say when to stop."""

    taught: Sequence[int]
    apart: Sequence[int]


def teach(lesson: Lesson, parts: Parts, shape: Shape, recipe: Recipe, *, seed: int, run: Run) -> Context:
    """Teach a network until it gets no better on what is apart; gives the best state."""
    taught, apart = parts.taught, parts.apart
    torch.manual_seed(seed)
    network = Context(shape, recipe.dropout)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    size = math.ceil(len(taught) / recipe.batch)
    steps = recipe.epochs * size
    first, best, since = 0, 0.0, 0
    kept = _state(network)
    if run.checkpoint.exists():
        held = torch.load(run.checkpoint, weights_only=True)
        first, best, since, kept = held["epoch"], held["best"], held["since"], held["kept"]
        network.load_state_dict(held["now"])
        optimizer.load_state_dict(held["optimizer"])
    for epoch in range(first, recipe.epochs):
        if since >= recipe.patience:
            break
        torch.manual_seed(seed * 1_000 + epoch)
        chance = np.random.default_rng((seed, epoch))
        total = 0.0
        for number, batch in enumerate(
            track(_batches(lesson, taught, recipe.batch, seed, epoch), f"epoch {epoch + 1} of {recipe.epochs}")
        ):
            step = epoch * size + number
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * min(1.0, step / recipe.warm_up) * (1 + math.cos(math.pi * step / steps)) / 2
            told = lesson.told(batch, recipe, chance)
            with torch.autocast("cpu", torch.bfloat16):
                said = network(told.text, told.here, told.past, told.marks, told.step)
            loss = lesson.loss(batch, {name: value.float() for name, value in said.items()}, recipe)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0 * math.sqrt(shape.members))
            optimizer.step()
            total += float(loss.detach())
        found = scores(lesson, apart, say(network, lesson, apart))
        run.note(epoch=epoch + 1, loss=round(total / size, 4), apart=found, merit=merit(found))
        if merit(found) > best:
            best, since, kept = merit(found), 0, _state(network)
        else:
            since += 1
        held = {"epoch": epoch + 1, "best": best, "since": since, "kept": kept, "now": _state(network)}
        run.save(lambda path, held=held: torch.save(held | {"optimizer": optimizer.state_dict()}, path))  # type: ignore[misc]
    network.load_state_dict(kept)
    network.eval()
    return network


def _state(network: Context) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _batches(lesson: Lesson, taught: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    chance = random.Random(seed * 1_000 + epoch)  # noqa: S311 - no secret
    order = list(taught)
    chance.shuffle(order)
    found = []
    for start in range(0, len(order), size * _NEIGHBOURS):
        near = sorted(order[start : start + size * _NEIGHBOURS], key=lambda place: lesson.length[place])
        found += [near[begin : begin + size] for begin in range(0, len(near), size)]
    chance.shuffle(found)
    return found
