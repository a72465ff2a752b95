"""The whole way: faces, action units, the rule beside the voice, scores on held people, card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.graphs.adapter import read_adapter
from multimood.taxonomy import CORPUS_EMOTIONS
from multimood.training.audio import run as audio
from multimood.training.audio.learn import Unseen as UnseenVoices
from multimood.training.audio.voice import Voice, read_voice
from multimood.training.card import write_card
from multimood.training.encoders import Places, Report, embed_faces
from multimood.training.figures import figures
from multimood.training.fusion.corpora import read_faces, read_sounds
from multimood.training.heads import Floats, softmax
from multimood.training.runs import Run, digest
from multimood.training.trials import Trials
from multimood.training.video.face import FILE, Face, read_face, write_face
from multimood.training.video.pictures import every_size, first_seen, learn_pictures
from multimood.training.video.rule import fit_rule
from multimood.training.video.takes import Takes, learn_units, orders_of, read_takes, shares_of
from multimood.training.video.units import UnitsHead, relative

CARD: Final = "video_adapter.md"
SHUFFLES: Final = 20
_MET: Final = "ravdess pairs"


def train(
    data: Path, out: Path, folders: audio.Folders, seed: int = 0, report: Report = lambda _line: None
) -> dict[str, Any]:
    """Train on the labelled faces and pairs below `data`; write `video_adapter.npz` and `.md` below `out`.

    The voice beside the face is the shipped one (`multimood train audio` first). Gives the metrics on held people.

    Raises:
        NotFoundError: a data set or an encoder is not there.
        ConfigurationError: the audio adapter, or the pairs, are not what they should be.
        RunError: the run's folder holds another, unfinished run.
    """
    voice = read_voice()
    takes, samples = read_takes(data), read_faces(data)
    places = Places(folders.home / "triton_models", folders.places.tokenizer, folders.places.cache)
    asked = {
        "model": "video", "seed": seed, "voice": voice.version,
        "data": digest(places.graph("video_encoder"), data / "av" / "ravdess_paired.csv", *samples.inputs),
    }  # fmt: skip
    run = Run(folders.run, asked)
    trials = Trials(run)
    report("takes: the voices")
    heard = hear(data, folders, voice, takes, seed)
    report("takes: action units, cross-validation")
    known = takes.rows(~takes.held)
    units, way, unseen = learn_units(known, seed, trials)
    rule = fit_rule(np.tile(heard[~takes.held], (len(unseen), 1)), shares_of(unseen).reshape(-1, unseen.shape[2]),
                    np.tile(known.labels, len(unseen)))  # fmt: skip
    rule_of_shares = fit_rule(heard[~takes.held], known.shares, known.labels)
    report("pictures: embedding, cross-validation")
    seen = embed_faces(places, data, samples.inputs, report)
    pictures = learn_pictures(every_size(samples, seen), seed)
    out.mkdir(parents=True, exist_ok=True)
    write_face(out / FILE, Face(pictures.network, pictures.bounds, pictures.temperature, units, rule, rule_of_shares))
    face = read_face(out / FILE)
    first, found = first_seen(seen)
    rows = samples.held & found
    metrics: dict[str, Any] = {
        "version": face.version,
        "fer2013": {
            "faces found": float(found[samples.held].mean()),
            **figures(softmax(face.logits(first[rows]) / np.float32(face.temperature)), samples.labels[rows],
                      list(map(str, samples.groups[rows])), CORPUS_EMOTIONS["fer2013"]),
        },
        **pairs(takes.rows(takes.held), heard[takes.held], face, seed),
        "chosen on training people": {
            "action units": str(way),
            "rule beside the voice: weight of voice, of face": (rule.voice, rule.face),
            "the same alone": (rule.voice_alone, rule.face_alone),
            "rule for others' probabilities: weight of voice, of face": (rule_of_shares.voice, rule_of_shares.face),
            "temperature of pictures, unknown faces": face.temperature,
        },
        "tried on training people": trials.found,
    }  # fmt: skip
    run.finish(metrics)
    write_card(out / CARD, "Video adapter", _ABOUT, metrics)
    return metrics


def hear(data: Path, folders: audio.Folders, voice: Voice, takes: Takes, seed: int) -> Floats:
    """Probabilities of each take's voice, float32 [n, 8]; those of training people by heads that did not hear them.

    Raises:
        NotFoundError: a sound, or the encoder's weights, are not there.
        ConfigurationError: the adapter cannot be read.
    """
    samples = read_sounds(data)
    sounds = audio.read(data, audio.build_raw(folders), samples)
    held = voice.logits(read_adapter()(sounds.raw[0]))
    logits = np.where(sounds.pool.held[:, None], held, UnseenVoices(sounds, seed).logits(voice.recipe))
    place = {path: number for number, path in enumerate(path for one in samples for path in one.inputs)}
    chosen = np.array([place[path] for path in takes.paths])
    return shares_of((logits[chosen] / np.float32(voice.far_temperature)).astype(np.float32))


def pairs(takes: Takes, heard: Floats, face: Face, seed: int) -> dict[str, Any]:
    """On held people: voice, face and both; the face in the file's order, and in orders by chance (means over them)."""
    people, rule = list(map(str, takes.people)), face.rule

    def scored(shares: Floats) -> Mapping[str, Any]:
        return figures(shares, takes.labels, people, CORPUS_EMOTIONS["ravdess"])

    seen = look(face.units, takes, np.arange(len(people)))
    orders = orders_of(takes, 2 * SHUFFLES, np.random.default_rng(seed))[::2]
    shuffled = [look(face.units, takes, order) for order in orders]
    found = {
        "voice": scored(heard),
        "face": scored(seen),
        "voice and face": scored(rule.both(heard, seen)),
        "others' face model": scored(takes.shares),
        "voice and others' face model": scored(face.rule_of_shares.both(heard, takes.shares)),
    }
    means = {
        name: float(np.mean([scored(shares)["UAR (majority)"][0] for shares in several]))
        for name, several in (
            ("face", shuffled),
            ("voice and face", [rule.both(heard, shares) for shares in shuffled]),
        )
    }
    return {f"{_MET}: {name}": score for name, score in found.items()} | {
        f"{_MET}: UAR, mean over {SHUFFLES} orders by chance": means
    }


def look(head: UnitsHead, takes: Takes, order: NDArray[np.int64]) -> Floats:
    """Probabilities of each take's face when they come in an order, float32 [n, 8]."""
    return softmax(head.network.logits(relative(takes.units, list(map(str, takes.people)), order, head.usual)))


_ABOUT: Final = """\
Three things that are known of faces beside the video encoder.

1. A head on the video encoder's embedding (512 values): eight emotions (depression closed: no face here is labelled
with it), one hidden layer, trained on FER2013's faces shown as clips of one frame.

2. A head on facial action units by OpenFace's names (clip means), each relative to the person's own mean and
deviation over the takes so far; until there are many, what is usual of people in general stands in. It learned in
orders by chance and in orders where each emotion lasts for a stretch, never in the order of the file, which is sorted
by emotion.

3. The rule by which voice and face count together: weights of their log-probabilities, of heads that had not met the
person.

Everything is chosen by cross-validation inside the training people; the figures are those of held ones (four actors
of RAVDESS, FER2013's validation part). RAVDESS' takes come in the order of the file, which begins with neutral ones
for every actor; how it is in other orders stands beside it.

Data and licence: RAVDESS (CC BY-NC-SA 4.0) and what others derived from it, FER2013 (unclear, research use). The
weights carry that: **non-commercial research use, share alike**. Command: `multimood train video --data FOLDER`
(`make train-env` first), after `multimood train audio`.

Limits: posed emotions, frontal faces, twenty actors; FER2013's labels are noisy. Action units are not what the video
encoder gives: the second head and the rule serve the evaluation on `ravdess_paired`, where there are no pictures. A
face shows what somebody shows, which need not be what they feel.
"""
