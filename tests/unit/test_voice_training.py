"""The audio adapter and its heads on invented numbers; their file; the graph beside numpy."""

from pathlib import Path

import numpy as np
import pytest

from multimood.errors import ConfigurationError
from multimood.graphs.adapter import Adapter, read_adapter
from multimood.graphs.weights import WeightsError
from multimood.taxonomy import CORPUS_EMOTIONS, EMOTIONS
from multimood.training.audio.adapter import find_axes
from multimood.training.audio.learn import Learned, Sounds, Unseen, arousal_scores, learn
from multimood.training.audio.voice import Recipe, read_voice, write_voice
from multimood.training.figures import figures
from multimood.training.fusion import emotion
from multimood.training.fusion.corpora import Samples
from multimood.training.heads import Task
from multimood.training.runs import Run
from multimood.training.softmax import fit_softmax
from multimood.training.trials import Trials

pytestmark = pytest.mark.unit

WIDE = 24


def corpus(name: str, chance: np.random.Generator, speakers: int) -> tuple[Samples, np.ndarray, np.ndarray]:
    """Speakers with an offset of their own, emotions each on an axis, strong ones farther out on another."""
    known = [EMOTIONS.index(one) for one in CORPUS_EMOTIONS[name]]
    labels = np.tile(known, speakers * 4)
    speaker = np.repeat(np.arange(speakers), 4 * len(known))
    strong = chance.integers(0, 2, len(labels))
    raw = chance.standard_normal((len(labels), WIDE)) * 0.5 + chance.standard_normal((speakers, WIDE))[speaker] * 0.2
    raw[np.arange(len(labels)), labels] += 2
    raw[:, 10] += 3 * strong
    groups = np.array([f"{name} {one}" for one in speaker])
    return (
        Samples(name, tuple(f"{name} {n}" for n in range(len(labels))), labels, groups, speaker == 0),
        raw.astype(np.float32), strong if name == "ravdess" else np.full(len(labels), -1),
    )  # fmt: skip


@pytest.fixture(scope="module")
def sounds() -> Sounds:
    chance = np.random.default_rng(0)
    samples, raw, strong = zip(*(corpus(*one) for one in (("ravdess", chance, 6), ("emodb", chance, 5))), strict=True)
    every = np.concatenate(raw)
    fast = every + chance.standard_normal(every.shape).astype(np.float32) * 0.1
    return Sounds(emotion.pool(samples, raw), np.stack([every, fast]), np.concatenate(strong))


def trials(folder: Path) -> Trials:
    return Trials(Run(folder, {}))


@pytest.fixture(scope="module")
def learned(sounds: Sounds, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """Seconds of work, and nothing that a test changes."""
    return learn(sounds, 0, trials(tmp_path_factory.mktemp("run")))


def test_axes_are_orthogonal_in_order_of_spread_and_the_rest_is_zero() -> None:
    chance = np.random.default_rng(1)
    x = (chance.standard_normal((50, 6)) @ chance.standard_normal((6, 6))).astype(np.float32)
    axes = find_axes(x, 8)
    assert axes.axes[:, :6].T @ axes.axes[:, :6] == pytest.approx(np.eye(6), abs=1e-4)
    assert (np.diff(axes.spread[:6]) <= 0).all()
    assert not axes.axes[:, 6:].any()
    assert axes.adapter(1.0)(x)[:, :6].std(axis=0) == pytest.approx(np.ones(6), abs=1e-2)
    assert axes.adapter(0.0)(x)[:, :6].std(axis=0) == pytest.approx(axes.spread[:6], rel=1e-2)


def test_axes_are_the_same_from_few_rows_as_from_the_covariance() -> None:
    x = np.random.default_rng(2).standard_normal((20, 30)).astype(np.float32)
    few, many = find_axes(x, 10), find_axes(np.concatenate([x, x]), 10)
    assert few.spread == pytest.approx(many.spread, rel=1e-3)
    assert np.abs((few.axes * many.axes).sum(axis=0)) == pytest.approx(np.ones(10), abs=1e-3)


def test_softmax_regression_learns_and_leaves_unknown_labels_alone() -> None:
    chance = np.random.default_rng(2)
    labels = chance.integers(0, 3, 400)
    x = (2 * np.eye(3)[labels] + chance.standard_normal((400, 3))).astype(np.float32)
    every = Task(labels, np.ones((400, 3), np.bool_), np.ones(400, np.float32))
    assert (fit_softmax(x, every, 1.0).logits(x).argmax(axis=1) == labels).mean() > 0.8
    two = every.rows(labels < 2)
    partial = fit_softmax(x[labels < 2], Task(two.labels, two.allowed & [True, True, False], two.weights), 1.0)
    assert not partial.outer[:, 2].any()


@pytest.mark.slow
def test_voices_of_unknown_speakers_are_understood_and_depression_never_heard(sounds: Sounds, learned: Learned) -> None:
    held = sounds.pool.held
    said = learned.voice.logits(learned.adapter(sounds.raw[0]))
    assert (said[held].argmax(axis=1) == sounds.pool.task.labels[held]).mean() > 0.8
    assert said[:, EMOTIONS.index("depression")].max() < -10
    assert learned.voice.temperature > 0
    assert arousal_scores(sounds, learned)["accuracy"] > 0.8


def test_logits_of_a_training_speaker_do_not_depend_on_their_own_labels(sounds: Sounds) -> None:
    pool = sounds.pool
    recipe = Recipe(0.5, 0.03)
    before = Unseen(sounds, 0).logits(recipe)
    one = pool.groups == "ravdess 3"
    labels = pool.task.labels.copy()
    labels[one] = EMOTIONS.index("joy")
    changed = emotion.Pool(
        pool.x, Task(labels, pool.task.allowed, pool.task.weights), pool.corpus, pool.groups, pool.held,
    )  # fmt: skip
    after = Unseen(Sounds(changed, sounds.raw, sounds.strong), 0).logits(recipe)
    assert np.array_equal(before[one], after[one])
    assert not np.array_equal(before, after)


def test_a_run_that_was_broken_off_tries_only_what_it_has_not(tmp_path: Path) -> None:
    asked = []

    def figure(value: float) -> float:
        asked.append(value)
        if value == 3:
            raise KeyboardInterrupt
        return value

    with pytest.raises(KeyboardInterrupt):
        trials(tmp_path).least("what", {"a": 2.0, "b": 1.0, "c": 3.0}, figure)
    again = trials(tmp_path)
    assert again.least("what", {"a": 2.0, "b": 1.0, "d": 4.0}, figure) == 1.0
    assert asked == [2.0, 1.0, 3.0, 4.0]
    assert len((tmp_path / "progress.jsonl").read_text().splitlines()) == 3


@pytest.mark.slow
def test_the_file_gives_back_what_was_learned(sounds: Sounds, learned: Learned, tmp_path: Path) -> None:
    path = tmp_path / "voice.npz"
    write_voice(path, learned.adapter, learned.voice)
    voice, adapter = read_voice(path), read_adapter(path)
    embedding = adapter(sounds.raw[0])
    assert np.array_equal(embedding, learned.adapter(sounds.raw[0]))
    assert np.array_equal(voice.logits(embedding), learned.voice.logits(embedding))
    assert voice.temperature == pytest.approx(learned.voice.temperature)
    assert voice.recipe == learned.voice.recipe
    assert voice.version.startswith("voice-")
    far = embedding + 1e6
    assert np.array_equal(voice.logits(far), voice.logits(far * 2)), "beyond what was heard in training"


@pytest.mark.slow
def test_what_is_no_voice_is_refused(learned: Learned, tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    other.write_bytes(b"no archive")
    with pytest.raises(ConfigurationError, match="multimood train audio"):
        read_voice(other)
    with pytest.raises(WeightsError, match="multimood train audio"):
        read_adapter(other)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_voice(tmp_path / "none.npz")
    write_voice(other, learned.adapter, learned.voice)
    with np.load(other) as arrays:
        kept = dict(arrays)
    for name, value in (("bounds", kept["bounds"][:, 1:]), ("emotion_outer", kept["emotion_outer"] * np.nan),
                        ("temperatures", np.zeros(2)), ("arousal_outer", kept["arousal_outer"][:, :1])):  # fmt: skip
        np.savez(other, **{**kept, name: value})
        with pytest.raises(ConfigurationError, match=name.partition("_")[0]):
            read_voice(other)
    np.savez(other, **{**kept, "scale": np.zeros_like(kept["scale"])})
    with pytest.raises(WeightsError, match="divides by 0"):
        read_adapter(other)


def test_figures_stand_beside_the_majority() -> None:
    labels = np.array([EMOTIONS.index(one) for one in ("joy", "joy", "fear", "anger")])
    found = figures(np.eye(8)[labels].astype(np.float32), labels, list("abcd"), CORPUS_EMOTIONS["nemo"])
    assert found["accuracy (majority)"] == (1.0, 0.5)
    assert found["UAR (majority)"] == (1.0, pytest.approx(1 / 3))


def test_a_sound_is_played_faster() -> None:
    pytest.importorskip("onnxruntime", reason="needs the training environment: `make train-env`")
    from multimood.training.encoders import at_speed

    wave = np.sin(np.arange(1600) / 10).astype(np.float32)
    assert at_speed(wave, 1.0) is wave
    fast = at_speed(wave, 1.25)
    assert len(fast) == 1280
    assert fast == pytest.approx(np.sin(np.arange(1280) / 8), abs=1e-2)


def test_the_graph_adapts_as_numpy_does(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the training environment: `make train-env`")
    pytest.importorskip("onnxruntime", reason="needs the training environment: `make train-env`")
    from multimood.graphs import audio_encoder
    from multimood.graphs.graph import Graph
    from multimood.training.encoders import open_graph

    chance = np.random.default_rng(3)
    layers = chance.standard_normal((2, audio_encoder.LAYERS, 2 * audio_encoder.WIDTH)).astype(np.float32)
    mean, scale, projection = (
        chance.random(shape).astype(np.float32) + np.float32(0.5) for shape in ((3072,), (3072,), (3072, 7))
    )
    adapter = Adapter(mean, scale, projection / 100)
    graph = Graph("adapter")
    given = graph.input("layers", "float32", ["b", *layers.shape[1:]])
    graph.output("embedding", audio_encoder.adapt(graph, given, adapter), ["b", 7])
    graph.save(tmp_path / "graph.onnx")
    found = open_graph(tmp_path / "graph.onnx").run(None, {"layers": layers})[0]
    assert found == pytest.approx(adapter(layers.reshape(2, -1)), abs=1e-3)
    with pytest.raises(WeightsError, match="3072"):
        audio_encoder.build(tmp_path, Adapter(mean[1:], scale[1:], projection[1:]))
