"""The whole training: dialogues, vectors, the dialogue network, the modalities, attention, graph, scores, card."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.history import WIDTH
from multimood.training.audio import run as audio
from multimood.training.audio.voice import read_voice
from multimood.training.encoders import PLACES, Floats, Places, Report, embed_texts, open_graph
from multimood.training.fusion import attention, evidence, modalities, teach
from multimood.training.fusion.card import write_card
from multimood.training.fusion.corpora import read_table
from multimood.training.fusion.dialogues import read_dialogues
from multimood.training.fusion.graph import build
from multimood.training.fusion.parameters import Heads, Parameters
from multimood.training.fusion.samples import Moments, moments_of
from multimood.training.fusion.served import Fusion, served_scores
from multimood.training.fusion.shape import HEADS, Shape
from multimood.training.fusion.teach import Lesson, Parts, Recipe
from multimood.training.heads import softmax
from multimood.training.runs import Run, digest
from multimood.training.text.learn import Recipe as TextRecipe
from multimood.training.text.learn import split
from multimood.training.text.utterances import read_utterances
from multimood.training.video.face import read_face

OUT: Final = Path("triton_models/fusion")
_DEGREES: Final = np.geomspace(0.5, 3.0, 61)


def train(
    data: Path, out: Path, folders: audio.Folders, seed: int = 0, *, places: Places = PLACES,
    report: Report = lambda _line: None,
) -> dict[str, Any]:  # fmt: skip
    """Train on the labelled data below `data`; write `<out>/1/model.onnx` and `<out>/MODEL_CARD.md`.

    Vectors are kept below `places.cache`, so that only the first run has to embed. Needs the shipped heads of voice and
    face (`multimood train audio`, `video`). Gives the scores of the graph on the validation parts.

    Raises:
        NotFoundError: a data set, an encoder's graph or the tokenizer is not there.
        RunError: the run's folder holds another, unfinished run.
    """
    voice, face, shape, recipe = read_voice(), read_face(), Shape(), Recipe()
    dialogues = read_dialogues(data)
    moments, texts = moments_of(dialogues)
    run = Run(folders.run, {
        "model": "fusion", "seed": seed, **asdict(shape), **asdict(recipe), "moments": len(moments),
        "voice": voice.version, "face": face.version, "data": digest(places.graph("text_encoder"), *texts),
    })  # fmt: skip
    report(f"{len(moments):,} moments of {len(dialogues):,} dialogues, {len(texts):,} different texts")
    spoken = sorted({row["text"] for row in read_table(data / "audio" / "ravdess" / "manifest.csv")})
    vectors = embed_texts(places, [*texts, *spoken], report) * np.float32(np.sqrt(WIDTH))
    report("words by themselves: cross-validation")
    words = modalities.words_alone(dialogues, {text: place for place, text in enumerate(texts)}, vectors, seed)
    lesson = Lesson(moments, vectors, modalities.felt_in(words, vectors))
    parts = _split(moments, _apart(data, moments, recipe.apart, seed))
    report(f"{len(parts.taught):,} moments teach, {len(parts.apart):,} say when to stop")
    network = teach.teach(lesson, parts, shape, recipe, seed=seed, run=run)
    degrees = _degrees(lesson, parts.apart, teach.say(network, lesson, parts.apart))
    report("voices and faces: cross-validation")
    others = [*evidence.voices(data, folders, voice, seed), *evidence.faces(data, places, seed, report)]
    report("how modalities combine")
    speaker = evidence.Speaker(network, degrees["emotion"])
    labelled = [place for place in parts.apart if moments.emotion[place] >= 0]
    sentences = dict(zip(spoken, vectors[len(texts) :], strict=True))
    shown = evidence.gather(speaker, lesson, labelled, others, sentences=sentences, seed=seed)
    parameters = Parameters(
        shape,
        {name: value.detach().numpy() for name, value in network.named_parameters()},
        degrees,
        Heads(
            words.network,
            voice.emotion,
            face.emotion,
            np.array([words.temperature, voice.far_temperature, face.temperature], np.float32),
            (voice.bounds, face.bounds),
            voice.arousal,
        ),
        attention.fit(shown, seed),
    )
    target = out / "1" / "model.onnx"
    build(parameters).save(target)
    report(f"{target}: {target.stat().st_size / 1e6:.2f} MB; evaluating it")
    fusion = Fusion(open_graph(target))
    metrics: dict[str, Any] = {
        "voice": voice.version,
        "face": face.version,
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "temperatures": degrees,
        **served_scores(fusion, lesson, np.flatnonzero(moments.held).tolist()),
    }
    write_card(out / "MODEL_CARD.md", metrics, seed)
    run.finish(metrics)
    return metrics


def _apart(data: Path, moments: Moments, share: float, seed: int) -> set[str]:
    """The dialogues that say when to stop: those that did so for the text encoder (with the same seed).

    Its vectors of what it was taught on are better than they will ever be of what people say. Of corpora that taught it
    nothing a share is drawn.
    """
    rows = read_utterances(data, seed)
    chosen = {rows[place].dialogue for place in split(rows, TextRecipe().apart, seed).apart}
    strange = ~np.isin([name.rstrip("+") for name in moments.protocol], list({row.corpus for row in rows}))
    others = np.unique(moments.group[strange & ~moments.held])
    return chosen | set(np.random.default_rng(seed).permutation(others)[: round(len(others) * share)])


def _split(moments: Moments, names: set[str]) -> Parts:
    """Whole dialogues teach, or say when to stop."""
    apart = np.isin(moments.group, list(names))
    return Parts(np.flatnonzero(~moments.held & ~apart).tolist(), np.flatnonzero(~moments.held & apart).tolist())


def _degrees(lesson: Lesson, apart: Sequence[int], said: dict[str, Floats]) -> dict[str, float]:
    """Temperature of each head with the least cross-entropy on what did not teach it (Guo et al., ICML 2017)."""
    found = {"intensity": 1.0}
    for name in HEADS:
        if name == "intensity":
            continue
        labels = getattr(lesson.moments, name)[list(apart)]
        rows = np.flatnonzero(labels >= 0)
        logits = said[name][rows] + (lesson.shut(apart).numpy()[rows] if name == "emotion" else 0)

        def entropy(degree: float, logits: Floats = logits, truth: NDArray[np.int64] = labels[rows]) -> float:
            shares = softmax(logits / np.float32(degree))
            return float(-np.log(shares[np.arange(len(truth)), truth] + 1e-9).mean())

        found[name] = float(min(_DEGREES, key=entropy))
    return found
