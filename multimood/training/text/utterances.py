"""What the text encoder learns from: single utterances, each with one label of one of three tasks."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from multimood.taxonomy import CORPUS_EMOTIONS, EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES
from multimood.training.fusion.corpora import read_lines, read_texts

TASKS: Final = (("emotion", EMOTIONS), ("strategy_mesc", MESC_STRATEGIES), ("strategy_esconv", ESCONV_STRATEGIES))
OUTPUTS: Final = tuple(f"{task}/{label}" for task, labels in TASKS for label in labels)
"""All the tasks' labels side by side."""
MOST: Final = 12_000
"""Of GoEmotions, which is as large as the rest together, so many training rows are drawn."""
_LARGE: Final = "goemotions"


@dataclass(frozen=True, slots=True)
class Utterance:
    """`label` is an index of OUTPUTS, `allowed` are those that could have been it; `held` is the validation part."""

    text: str
    task: str
    corpus: str
    label: int
    allowed: range | tuple[int, ...]
    group: str
    held: bool

    @property
    def dialogue(self) -> str:
        """The training dialogue it is of, by the name that the fusion model's training has for it."""
        corpus, name, *_ = self.group.split(" ")
        return {"mesc": name, "esconv": f"esconv_{name}"}.get(corpus, f"{corpus}_train_{name}")


def read_utterances(data: Path, seed: int) -> list[Utterance]:
    """Feelings of MELD, GoEmotions, DailyDialog and MESC's clients; acts of MESC's therapists and ESConv's supporters.

    An act is told from the supporter's own words here: so the vectors of what was answered say what was done.

    Raises:
        NotFoundError: a data set is not there.
    """
    found = [*_feelings(data), *_acts_mesc(data), *_acts_esconv(data)]
    large = [row for row in found if row.corpus == _LARGE and not row.held]
    left_out = {id(row) for row in random.Random(seed).sample(large, max(len(large) - MOST, 0))}  # noqa: S311
    return [row for row in found if id(row) not in left_out]


def _feelings(data: Path) -> Iterator[Utterance]:
    for samples in read_texts(data):
        allowed = tuple(EMOTIONS.index(name) for name in CORPUS_EMOTIONS[samples.corpus])
        for text, label, group, held in zip(samples.inputs, samples.labels, samples.groups, samples.held, strict=True):
            yield Utterance(
                text, "emotion", samples.corpus, int(label), allowed, f"{samples.corpus} {group} {held}", bool(held)
            )


def _acts_mesc(data: Path) -> Iterator[Utterance]:
    first = len(EMOTIONS)
    allowed = range(first, first + len(MESC_STRATEGIES))
    for dialogue in read_lines(data / "dialogue" / "mesc.jsonl"):
        for turn in dialogue["utterances"]:
            if turn["speaker"] != "Client" and turn["strategy"] and turn["text"].strip():
                label = first + MESC_STRATEGIES.index(turn["strategy"])
                group, held = f"mesc mesc_{dialogue['dialogue_id']}", dialogue["split"] != "train"
                yield Utterance(turn["text"], "strategy_mesc", "mesc", label, allowed, f"{group} {held}", held)


def _acts_esconv(data: Path) -> Iterator[Utterance]:
    first = len(EMOTIONS) + len(MESC_STRATEGIES)
    allowed = range(first, first + len(ESCONV_STRATEGIES))
    for number, dialogue in enumerate(read_lines(data / "dialogue" / "esconv.jsonl")):
        for turn in dialogue["dialog"]:
            if turn["speaker"] != "usr" and turn.get("strategy") and turn["text"].strip():
                label = first + ESCONV_STRATEGIES.index(turn["strategy"].lower())
                held = dialogue["split"] != "train"
                yield Utterance(turn["text"], "strategy_esconv", "esconv", label, allowed, f"esconv {number}", held)
