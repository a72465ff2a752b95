"""Scores of a fusion graph on the validation parts: what is run here is the file that will be served."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.history import SIZE
from multimood.taxonomy import EMOTIONS, MODALITIES
from multimood.training.fusion import support
from multimood.training.fusion.dialogues import Turns
from multimood.training.fusion.graph import OUTPUTS, WIDTHS
from multimood.training.fusion.material import Material
from multimood.training.fusion.metrics import Rated, Row, score
from multimood.training.fusion.network import Floats

ACTED: Final = "ravdess"
"""The corpus whose words are two neutral sentences, whatever the voice says."""
_BATCH: Final = 512


class Fusion:
    """A fusion graph, asked in batches."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.names: Final = tuple(item.name for item in session.get_outputs())

    def __call__(self, history: Floats | None = None, **vectors: Floats) -> Mapping[str, Floats]:
        """Outputs for vectors by modality, [n, d] each; what is not given is absent, filled with NaN.

        Without any vector there are as many rows as `history` has, or one.
        """
        count = max([len(vector) for vector in vectors.values()] + [1 if history is None else len(history)])
        inputs = {name: vectors.get(name, np.full((count, width), np.nan, np.float32)) for name, width in WIDTHS}
        inputs["present"] = np.tile(np.array([name in vectors for name in MODALITIES], np.float32), (count, 1))
        inputs["history"] = np.zeros((count, SIZE), np.float32) if history is None else history
        parts = [
            self._session.run(None, {name: value[start : start + _BATCH] for name, value in inputs.items()})
            for start in range(0, count, _BATCH)
        ]
        return {name: np.concatenate([part[place] for part in parts]) for place, name in enumerate(self.names)}


def evaluate(fusion: Fusion, material: Material) -> tuple[list[Row], Rated]:
    """Every row that the graph itself can be asked for, and its intensity."""
    rows = [*_texts(fusion, material), *_sounds(fusion, material), _faces(fusion, material)]
    for turns, words in ((material.mesc, material.mesc_text), (material.esconv, material.esconv_text)):
        rows += _support(fusion, turns, words)
    return rows, _rated(fusion, material)


def in_order(fusion: Fusion, words: Floats, previous: NDArray[np.int64], chosen: NDArray[np.int64]) -> Floats:
    """Fused distributions of the chosen turns, [m, 8], each told the one before it.

    `previous` int64 [n] is the turn before, or -1; it must be among the chosen and come before.
    """
    result = np.zeros((len(words), len(EMOTIONS)), np.float32)
    depth = np.zeros(len(words), np.int64)
    for number in chosen:
        depth[number] = depth[previous[number]] + 1 if previous[number] >= 0 else 0
    for level in range(int(depth[chosen].max(initial=0)) + 1):
        now = chosen[depth[chosen] == level]
        history = np.zeros((len(now), SIZE), np.float32)
        if level:
            history[:, : len(EMOTIONS)] = result[previous[now]]
            history[:, -1] = 1
        result[now] = fusion(history, text=words[now])["emotion"]
    return result[chosen]


def _texts(fusion: Fusion, material: Material) -> list[Row]:
    pooled, rows = material.texts, []
    for corpus in dict.fromkeys(map(str, pooled.corpus)):
        here = pooled.corpus == corpus
        chosen = np.flatnonzero(here & pooled.held)
        truth, known = pooled.task.labels[chosen], pooled.task.labels[here & ~pooled.held]
        answers = {"emotion": fusion(text=pooled.x[chosen])["emotion"]}
        if (pooled.previous[chosen] >= 0).any():
            answers["emotion, told the turn before"] = in_order(fusion, pooled.x, pooled.previous, chosen)
        allowed = pooled.task.allowed[chosen[0]]
        rows += [Row(what, "text", corpus, score(shares, truth, known, allowed)) for what, shares in answers.items()]
    return rows


def _sounds(fusion: Fusion, material: Material) -> list[Row]:
    pooled, rows = material.sounds, []
    for samples in material.sound_samples:
        here = pooled.corpus == samples.corpus
        chosen = np.flatnonzero(here & pooled.held)
        truth, known = pooled.task.labels[chosen], pooled.task.labels[here & ~pooled.held]
        shares = fusion(audio=pooled.x[chosen])["emotion"]
        rows.append(Row("emotion", "audio", samples.corpus, score(shares, truth, known, samples.allowed)))
        if samples.corpus == ACTED:
            shares = fusion(text=material.spoken[chosen], audio=pooled.x[chosen])["emotion"]
            found = score(shares, truth, known, samples.allowed)
            rows.append(Row("emotion, words that say nothing", "text+audio", samples.corpus, found))
    return rows


def _faces(fusion: Fusion, material: Material) -> Row:
    samples = material.face_samples
    chosen = samples.held & ~np.isnan(material.first_face[:, 0])
    shares = fusion(video=material.first_face[chosen])["emotion"]
    found = score(shares, samples.labels[chosen], samples.labels[~samples.held], samples.allowed)
    return Row("emotion, where a face is found", "video", samples.corpus, found)


def _support(fusion: Fusion, turns: Turns, words: Floats) -> list[Row]:
    felt = in_order(fusion, words, turns.previous, np.arange(len(turns)))
    history = support.histories(turns, felt)
    answers = {"text": fusion(history, text=words), "none": fusion(history)}
    labels = {
        f"strategy_{turns.corpus}": turns.strategy,
        "stage": turns.stage,
        "system_emotion": turns.system_emotion,
    }
    rows = []
    for name, truth in labels.items():
        chosen, known = turns.held & (truth >= 0), ~turns.held & (truth >= 0)
        if not chosen.any():
            continue
        every = np.ones(len(dict(OUTPUTS)[name]), np.bool_)
        for modalities, found in answers.items():
            scored = score(found[name][chosen], truth[chosen], truth[known], every)
            rows.append(Row(f"{name}, told the turns before", modalities, turns.corpus, scored))
    return rows


def _rated(fusion: Fusion, material: Material) -> Rated:
    turns = material.esconv
    known = ~np.isnan(turns.intensity)
    chosen = known & turns.held
    said = fusion(text=material.esconv_text[chosen])["intensity"][:, 0].astype(np.float64)
    truth, usual = turns.intensity[chosen], float(turns.intensity[known & ~turns.held].mean())
    return Rated(
        n=int(chosen.sum()),
        error=float(np.abs(said - truth).mean()),
        error_of_mean=float(np.abs(usual - truth).mean()),
        correlation=float((_ranks(said) * _ranks(truth)).mean()),
    )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks with mean 0 and variance 1, equal values sharing their mean rank."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[group].astype(np.float64)
    found: NDArray[np.float64] = (ranks - ranks.mean()) / max(float(ranks.std()), 1e-12)
    return found
