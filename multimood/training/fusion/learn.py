"""From the material to the parameters. Everything chosen here is chosen inside the training part."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.taxonomy import EMOTIONS, MODALITIES
from multimood.training.encoders import Floats, Report
from multimood.training.fusion import combine, emotion, support
from multimood.training.fusion.inertia import carried, fit_inertia
from multimood.training.fusion.material import Material
from multimood.training.fusion.metrics import Row
from multimood.training.fusion.network import Network, Task, fit_linear
from multimood.training.fusion.parameters import DEPRESSION, MASKS, Parameters

NEVER_HEARD: Final = ("depression",)
"""No voice or face in the data is labelled with these."""
SUPPORT_TALK: Final = "mesc"
"""The corpus that is closest to what the product hears: what is usual in it is said when nothing is there."""
WORDLESS_DEPRESSION: Final = -6.0
"""Offset of depression where there are no words: from sound and picture it cannot be told from sadness."""
_RARE: Final = 0.005

Choices = dict[str, float]


@dataclass(frozen=True, slots=True)
class _Words:
    networks: Mapping[int, Network]
    fold_of: Mapping[str, int]
    degree: float
    inertia: Floats
    shift: Floats

    def felt(self, text: Floats, groups: NDArray[np.str_], previous: NDArray[np.int64]) -> Floats:
        """Fused distributions of turns in order, by networks that did not see their dialogue."""
        folds = np.array([self.fold_of.get(group, -1) for group in groups])
        logits = emotion.unseen_logits(self.networks, text, folds) / np.float32(self.degree)
        return carried(logits, previous, self.inertia, self.shift)


@dataclass(frozen=True, slots=True)
class _Voice:
    network: Network
    unseen: Floats
    strength: float
    home: float
    degree: float
    arousal: Network


def learn(material: Material, data: Path, seed: int, report: Report) -> tuple[Parameters, Choices, list[Row]]:
    """Fit everything; also gives the choices made, and how the rule of combining does on pairs, for the card.

    Raises:
        NotFoundError: the audio-visual pairs are not there.
    """
    report("text: cross-validation")
    words = _words(material, seed)
    report("sound: cross-validation, then corpus against corpus")
    voice = _voice(material, seed)
    report("picture: cross-validation")
    face, face_home = _face(material, seed)
    # There is one corpus of faces only: what strangers' voices cost in sureness is taken for strangers' faces, too.
    face_degree = face_home * voice.degree / voice.home

    report("how modalities combine")
    heard = dict(zip(material.sound_samples[0].inputs, voice.unseen, strict=False))
    our_takes, peoples_votes = combine.read_takes(data, heard), combine.read_votes(data)
    takes, votes = combine.weigh(our_takes), combine.weigh(peoples_votes)
    pairs = [
        *combine.rows("emotion, another's face model, the rule", "ravdess", our_takes, takes),
        *combine.rows("people's votes, the rule", "crema-d", peoples_votes, votes),
    ]
    texts = material.texts
    weights, offsets = _masks(takes, texts.task.labels[(texts.corpus == SUPPORT_TALK) & ~texts.held])

    report("strategy and stage: cross-validation; intensity")
    sounds, faces = material.sounds, material.faces
    parameters = Parameters(
        text=words.networks[-1],
        audio=emotion.closed(voice.network, NEVER_HEARD),
        video=emotion.closed(face, NEVER_HEARD),
        bounds=(emotion.bounds(sounds.x[~sounds.held]), emotion.bounds(faces.x[~faces.held])),
        temperatures=np.array([words.degree, voice.degree, face_degree], np.float32),
        weights=weights,
        offsets=offsets,
        inertia=words.inertia,
        shift=words.shift,
        support=_support(material, words, seed),
        arousal=voice.arousal,
    )
    choices = {
        "temperature of text": words.degree,
        "temperature of sound, unseen speakers": voice.home,
        "temperature of sound, unseen corpora (used)": voice.degree,
        "temperature of picture, unseen faces": face_home,
        "temperature of picture (used)": face_degree,
        "strength of sound": voice.strength,
        "RAVDESS pairs: weight of voice alone": takes.voice_alone,
        "RAVDESS pairs: weight of voice beside the face": takes.voice,
        "RAVDESS pairs: weight of face alone": takes.face_alone,
        "RAVDESS pairs: weight of face beside the voice": takes.face,
        "weight of voice in company (used)": takes.discounts[0],
        "weight of face in company (used)": takes.discounts[1],
        "CREMA-D votes: weight of voice beside the face": votes.voice,
        "CREMA-D votes: weight of face beside the voice": votes.face,
    }
    return parameters, choices, pairs


def _words(material: Material, seed: int) -> _Words:
    texts = material.texts
    folds = emotion.folds_of(texts, seed)
    networks = emotion.unseen_networks(texts, emotion.fit_deep(emotion.TEXT_RECIPE, seed), folds)
    unseen = emotion.unseen_logits(networks, texts.x, folds)
    degree = emotion.temperature(unseen, texts, ~texts.held)
    inertia, shift = fit_inertia(unseen / np.float32(degree), texts)
    fold_of = {str(group): int(fold) for group, fold in zip(texts.groups, folds, strict=True)}
    return _Words(networks, fold_of, degree, inertia, shift)


def _voice(material: Material, seed: int) -> _Voice:
    sounds = material.sounds
    folds = emotion.folds_of(sounds, seed)
    strength = emotion.choose_strength(sounds, folds)
    fit = emotion.fit_strength(strength)
    networks = emotion.unseen_networks(sounds, fit, folds)
    unseen = emotion.unseen_logits(networks, sounds.x, folds)
    strangers = emotion.of_other_corpora(sounds, fit)
    strong = (material.strong >= 0) & ~sounds.held
    labels = material.strong[strong]
    two = Task(labels, np.ones((len(labels), 2), np.bool_), np.ones(len(labels), np.float32))
    return _Voice(
        network=networks[-1],
        unseen=unseen,
        strength=strength,
        home=emotion.temperature(unseen, sounds, ~sounds.held),
        degree=emotion.temperature(strangers, sounds, ~sounds.held),
        arousal=fit_linear(sounds.x[strong], two, strength),
    )


def _face(material: Material, seed: int) -> tuple[Network, float]:
    faces = material.faces
    folds = emotion.folds_of(faces, seed)
    networks = emotion.unseen_networks(faces, emotion.fit_deep(emotion.FACE_RECIPE, seed), folds)
    unseen = emotion.unseen_logits(networks, faces.x, folds)
    return networks[-1], emotion.temperature(unseen, faces, ~faces.held)


def _support(material: Material, words: _Words, seed: int) -> support.Support:
    worded, wordless = [], []
    for turns, text in ((material.mesc, material.mesc_text), (material.esconv, material.esconv_text)):
        felt = words.felt(text, turns.groups, turns.previous)
        context = support.context_of(felt, support.histories(turns, felt))
        one, other = support.fit_heads(turns, text, context, seed)
        worded.append(one)
        wordless.append(other)
    rated = ~np.isnan(material.esconv.intensity) & ~material.esconv.held
    return support.Support(
        worded=support.merged(worded),
        wordless=support.merged(wordless),
        system_emotion=support.usual(material.mesc),
        intensity=support.fit_intensity(material.esconv_text[rated], material.esconv.intensity[rated]),
    )


def _masks(takes: combine.Weights, usual: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Weights [8, 3] and offsets [8, 8] of every mask (text + 2 audio + 4 video).

    Words keep their full weight in company: there are no pairs of words that vary with voice or face. `usual` are
    labels of support talk: what is said where nothing is there.
    """
    weights = np.ones((MASKS, len(MODALITIES)), np.float32)
    for mask in range(MASKS):
        if mask.bit_count() > 1:
            weights[mask, 1:] = takes.discounts
    offsets = np.zeros((MASKS, len(EMOTIONS)), np.float32)
    offsets[::2, DEPRESSION] = WORDLESS_DEPRESSION
    counts = np.bincount(usual, minlength=len(EMOTIONS)) + _RARE * len(usual)
    offsets[0] = np.log(counts / counts.sum())
    return weights, offsets
