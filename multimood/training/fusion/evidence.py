"""What the attention over modalities learns from: dialogues beside voices and faces of one label, and each alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.taxonomy import CORPUS_EMOTIONS, EMOTIONS, MODALITIES
from multimood.training.audio import run as audio
from multimood.training.audio.learn import Unseen
from multimood.training.audio.voice import Voice
from multimood.training.encoders import Floats, Places, Report, embed_faces
from multimood.training.fusion import modalities, teach
from multimood.training.fusion.context import Context
from multimood.training.fusion.corpora import read_faces, read_sounds, read_table
from multimood.training.fusion.emotion import pool
from multimood.training.fusion.pairs import Evidence, joined, matched, votes_of
from multimood.training.fusion.teach import Lesson
from multimood.training.heads import softmax
from multimood.training.video.pictures import first_seen

MOST: Final = 12_000
"""So often a moment of a dialogue, drawn, is put beside a voice and a face: each several times, beside others."""
_VOICE, _FACE = MODALITIES.index("audio"), MODALITIES.index("video")


@dataclass(frozen=True, slots=True)
class Shown:
    """Training rows of one corpus of one modality: votes float32 [n, 8] by heads that had not met the person.

    `words` are what was said; empty where nobody knows.
    """

    corpus: str
    place: int
    votes: Floats
    labels: NDArray[np.int64]
    words: tuple[str, ...] = ()


class Speaker:
    """What the dialogue network makes of moments, as evidence in which nothing but words is present."""

    def __init__(self, network: Context, degree: float) -> None:
        self._network, self._degree = network, np.float32(degree)

    def of(self, lesson: Lesson, rows: Sequence[int], *, wordless: bool = False) -> Evidence:
        """Moments of dialogues."""
        said = teach.say(self._network, lesson, rows, wordless=wordless)
        return self._evidence(
            said, lesson.moments.emotion[list(rows)], lesson.moments.allowed[list(rows)], not wordless
        )

    def alone(self, words: Floats | None, labels: NDArray[np.int64], corpus: str) -> Evidence:
        """Single utterances with the words' vectors float32 [n, w], or without words."""
        said = teach.say_alone(self._network, words, len(labels))
        known = [EMOTIONS.index(name) for name in CORPUS_EMOTIONS[corpus]]
        allowed = np.tile(np.isin(np.arange(len(EMOTIONS)), known), (len(labels), 1))
        return self._evidence(said, labels, allowed, words is not None)

    def _evidence(
        self, said: Mapping[str, Floats], labels: NDArray[np.int64], allowed: NDArray[np.bool_], is_worded: bool
    ) -> Evidence:
        votes = np.zeros((len(labels), len(MODALITIES), len(EMOTIONS)), np.float32)
        votes[:, 0] = np.log(softmax(said["emotion"] / self._degree) + 1e-9)
        present = np.zeros((len(labels), len(MODALITIES)), np.float32)
        present[:, 0] = is_worded
        return Evidence(said["answer"], votes, present, labels, allowed)


def gather(
    speaker: Speaker,
    lesson: Lesson,
    rows: Sequence[int],
    shown: Sequence[Shown],
    *,
    sentences: Mapping[str, Floats],
    seed: int,
) -> Evidence:
    """All of it: `rows` are labelled moments that did not teach the network, `sentences` what is said in the voices."""
    chosen = np.random.default_rng(seed).choice(np.asarray(rows), MOST).tolist()
    others = []
    for place in (_VOICE, _FACE):
        these = [one for one in shown if one.place == place]
        others.append(
            (place, np.concatenate([one.votes for one in these]), np.concatenate([one.labels for one in these]))
        )
    parts = [matched(speaker.of(lesson, chosen), speaker.of(lesson, chosen, wordless=True), others, seed)]
    for one in shown:
        parts.append(_beside(speaker.alone(None, one.labels, one.corpus), one))
        if one.words:
            words = np.stack([sentences[text] for text in one.words])
            parts.append(_beside(speaker.alone(words, one.labels, one.corpus), one))
    return joined(parts)


def voices(data: Path, folders: audio.Folders, voice: Voice, seed: int) -> list[Shown]:
    """The training speakers' sounds, by corpus.

    Raises:
        NotFoundError: a data set, a sound, or the encoder's weights are not there.
    """
    samples = read_sounds(data)
    sounds = audio.read(data, audio.build_raw(folders), samples)
    logits = Unseen(sounds, seed).logits(voice.recipe) / np.float32(voice.far_temperature)
    said = {row["path"]: row["text"] for row in read_table(data / "audio" / "ravdess" / "manifest.csv")}
    ends = np.cumsum([len(one) for one in samples])[:-1]
    found = []
    for one, part in zip(samples, np.split(logits, ends), strict=True):
        taught = np.flatnonzero(~one.held)
        words = tuple(said[one.inputs[place]] for place in taught if one.inputs[place] in said)
        found.append(Shown(one.corpus, _VOICE, votes_of(part[taught]), one.labels[taught], words))
    return found


def faces(data: Path, places: Places, seed: int, report: Report) -> list[Shown]:
    """The training faces, those in which one is found.

    Raises:
        NotFoundError: the pictures, or the encoder's graph, are not there.
    """
    samples = read_faces(data)
    first, found = first_seen(embed_faces(places, data, samples.inputs, report))
    rows = np.flatnonzero(found & ~samples.held)
    pooled = pool([samples], [np.where(found[:, None], first, 0).astype(np.float32)])
    votes = votes_of(modalities.alone(pooled, seed).unseen)
    return [Shown(samples.corpus, _FACE, votes[rows], samples.labels[rows])]


def _beside(evidence: Evidence, one: Shown) -> Evidence:
    votes, present = evidence.votes.copy(), evidence.present.copy()
    votes[:, one.place], present[:, one.place] = one.votes, 1
    return Evidence(evidence.answer, votes, present, evidence.labels, evidence.allowed)
