"""Each modality by itself: the heads, and what they say of people that they have not met."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from multimood.taxonomy import CORPUS_EMOTIONS
from multimood.training.fusion.corpora import Samples
from multimood.training.fusion.dialogues import Dialogue
from multimood.training.fusion.emotion import (
    Pool,
    fit_deep,
    folds_of,
    pool,
    temperature,
    unseen_logits,
    unseen_networks,
)
from multimood.training.heads import Floats, Network, Recipe, softmax

RECIPE: Final = Recipe(hidden=128, epochs=8, dropout=0.5)


@dataclass(frozen=True, slots=True)
class Alone:
    """A head, its temperature, and its calibrated logits [n, 8] for rows whose group it had not seen."""

    network: Network
    temperature: float
    unseen: Floats


def words_alone(dialogues: Sequence[Dialogue], places: dict[str, int], vectors: Floats, seed: int) -> Alone:
    """The head of single utterances, from the dialogues' labelled turns. `vectors` [m, d] by `places` of texts."""
    corpora, rows = [], []
    for protocol in dict.fromkeys(dialogue.protocol for dialogue in dialogues):
        turns = [
            (turn, dialogue)
            for dialogue in dialogues
            if dialogue.protocol == protocol and protocol in CORPUS_EMOTIONS
            for turn in dialogue.turns
            if turn.emotion >= 0
        ]
        if not turns:
            continue
        corpora.append(
            Samples(
                protocol,
                tuple(turn.text for turn, _ in turns),
                np.array([turn.emotion for turn, _ in turns], np.int64),
                np.array([dialogue.group for _, dialogue in turns]),
                np.array([dialogue.held for _, dialogue in turns]),
            )
        )
        rows.append(vectors[[places[turn.text] for turn, _ in turns]])
    return alone(pool(corpora, rows), seed)


def alone(pooled: Pool, seed: int) -> Alone:
    """A head with a hidden layer, cross-validated over groups inside the training part."""
    folds = folds_of(pooled, seed)
    networks = unseen_networks(pooled, fit_deep(RECIPE, seed), folds)
    unseen = unseen_logits(networks, pooled.x, folds)
    degree = temperature(unseen, pooled, ~pooled.held)
    return Alone(networks[-1], degree, unseen / np.float32(degree))


def felt_in(head: Alone, vectors: Floats) -> Floats:
    """How every text feels by itself: [m, 8]."""
    return softmax(head.network.logits(vectors) / np.float32(head.temperature))
